/* The guest's DSDT: the devices of the board that cannot be enumerated, and soft-off. */
DefinitionBlock ("", "DSDT", 2, "DOPPEL", "DOPPELPC", 1)
{
    /* SLP_TYPa of S5, as the power management registers decode it. */
    Name (\_S5, Package () { 0, 0, 0, 0 })

    // Where PCI's memory begins, below 4 GiB and above all RAM; set when the tables are made.
    Name (PCIL, 0x80000000)
    Name (PCIH, 0x0000000800000000)

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (WIND, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0x00, 0xff, 0, 0x100)
                IO (Decode16, 0x0cf8, 0x0cf8, 0x01, 0x08)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0000, 0x0cf7, 0, 0x0cf8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0d00, 0xffff, 0, 0xf300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0, 0x000a0000, 0x000bffff, 0, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0, 0x80000000, 0xfebfffff, 0, 0x7ec00000, , , LOW)
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0, 0x0000000800000000, 0x0000000fffffffff, 0, 0x0000000800000000, , , HIGH)
            })
            Method (_CRS, 0, Serialized)
            {
                CreateDWordField (WIND, ^LOW._MIN, LMIN)
                CreateDWordField (WIND, ^LOW._LEN, LLEN)
                CreateQWordField (WIND, ^HIGH._MIN, HMIN)
                CreateQWordField (WIND, ^HIGH._MAX, HMAX)
                LMIN = PCIL
                LLEN = 0xfec00000 - PCIL
                HMIN = PCIH
                HMAX = PCIH + 0x00000007ffffffff
                Return (WIND)
            }

            // Pin p of slot s is line (p + s - 1) mod 4.
            Method (_PRT, 0, Serialized)
            {
                Local0 = Package (128) {}
                For (Local1 = 0, Local1 < 128, Local1++)
                {
                    Switch (ToInteger (((Local1 >> 2) + Local1 + 3) & 3))
                    {
                        Case (0) { Local2 = Package (4) { 0, 0, LNKA, 0 } }
                        Case (1) { Local2 = Package (4) { 0, 0, LNKB, 0 } }
                        Case (2) { Local2 = Package (4) { 0, 0, LNKC, 0 } }
                        Case (3) { Local2 = Package (4) { 0, 0, LNKD, 0 } }
                    }
                    Local2 [0] = ((Local1 >> 2) << 16) | 0xffff
                    Local2 [1] = Local1 & 3
                    Local0 [Local1] = Local2
                }
                Return (Local0)
            }

            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (PIRQ, PCI_Config, 0x60, 0x04)
                Field (PIRQ, ByteAcc, NoLock, Preserve)
                {
                    PRQA, 8,
                    PRQB, 8,
                    PRQC, 8,
                    PRQD, 8
                }

                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03f8, 0x03f8, 0x00, 0x08)
                        IRQNoFlags () { 4 }
                    })
                }

                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0060, 0x0060, 0x01, 0x01)
                        IO (Decode16, 0x0064, 0x0064, 0x01, 0x01)
                        IRQNoFlags () { 1 }
                    })
                }

                Device (MOU)
                {
                    Name (_HID, EisaId ("PNP0F13"))
                    Name (_CRS, ResourceTemplate () { IRQNoFlags () { 12 } })
                }

                Device (FPU)
                {
                    Name (_HID, EisaId ("PNP0C04"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x00f0, 0x00f0, 0x01, 0x01)
                        IRQNoFlags () { 13 }
                    })
                }

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0070, 0x0070, 0x01, 0x02)
                        IRQNoFlags () { 8 }
                    })
                }
            }
        }

        // What an interrupt link may be, and is: the PIIX3's PIRQRC registers, bit 7 of which turns
        // the line off.
        Name (IRQP, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 5, 10, 11 }
        })
        Name (IRQB, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 0 }
        })
        Method (IRQC, 1, Serialized)
        {
            CreateDWordField (IRQB, 0x05, NUMB)
            NUMB = Arg0 & 0x0f
            Return (IRQB)
        }
        Method (IRQS, 1, NotSerialized)
        {
            If (Arg0 & 0x80)
            {
                Return (0x09)
            }
            Return (0x0b)
        }

        Device (LNKA)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0)
            Method (_PRS) { Return (IRQP) }
            Method (_STA) { Return (IRQS (^^PCI0.ISA.PRQA)) }
            Method (_CRS) { Return (IRQC (^^PCI0.ISA.PRQA)) }
            Method (_DIS) { ^^PCI0.ISA.PRQA |= 0x80 }
            Method (_SRS, 1)
            {
                CreateDWordField (Arg0, 0x05, NUMB)
                ^^PCI0.ISA.PRQA = NUMB
            }
        }

        Device (LNKB)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 1)
            Method (_PRS) { Return (IRQP) }
            Method (_STA) { Return (IRQS (^^PCI0.ISA.PRQB)) }
            Method (_CRS) { Return (IRQC (^^PCI0.ISA.PRQB)) }
            Method (_DIS) { ^^PCI0.ISA.PRQB |= 0x80 }
            Method (_SRS, 1)
            {
                CreateDWordField (Arg0, 0x05, NUMB)
                ^^PCI0.ISA.PRQB = NUMB
            }
        }

        Device (LNKC)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 2)
            Method (_PRS) { Return (IRQP) }
            Method (_STA) { Return (IRQS (^^PCI0.ISA.PRQC)) }
            Method (_CRS) { Return (IRQC (^^PCI0.ISA.PRQC)) }
            Method (_DIS) { ^^PCI0.ISA.PRQC |= 0x80 }
            Method (_SRS, 1)
            {
                CreateDWordField (Arg0, 0x05, NUMB)
                ^^PCI0.ISA.PRQC = NUMB
            }
        }

        Device (LNKD)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 3)
            Method (_PRS) { Return (IRQP) }
            Method (_STA) { Return (IRQS (^^PCI0.ISA.PRQD)) }
            Method (_CRS) { Return (IRQC (^^PCI0.ISA.PRQD)) }
            Method (_DIS) { ^^PCI0.ISA.PRQD |= 0x80 }
            Method (_SRS, 1)
            {
                CreateDWordField (Arg0, 0x05, NUMB)
                ^^PCI0.ISA.PRQD = NUMB
            }
        }

        Device (HPET)
        {
            Name (_HID, EisaId ("PNP0103"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadOnly, 0xfed00000, 0x00000400)
            })
        }
    }
}
