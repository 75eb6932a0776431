/* Opening and making images: formats, backing files, locks, and what is refused. */
#include "images.h"

#include "base/bits.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(images, .init = images_enter, .fini = images_leave);

/* Changes bytes of a file. */
static void poke(const char *file, uint64_t offset, const void *bytes, size_t size)
{
    int fd = open(file, O_WRONLY);
    cr_assert_eq(pwrite(fd, bytes, size, (off_t)offset), (ssize_t)size);
    close(fd);
}

static void poke_be(const char *file, uint64_t offset, uint64_t value, unsigned size)
{
    uint64_t swapped = __builtin_bswap64(value) >> (64 - 8 * size);
    poke(file, offset, &swapped, size);
}

/* Opening fails, and the file stays what it is. */
static void refused_untouched(const char *options, const char *message)
{
    must("md5sum disk >before");
    fails_with(options, message);
    must("md5sum -c before");
}

/* ---- Raw ---- */

Test(images, raw_needs_a_size_that_fits)
{
    fails_with("disk", "disk: cannot be opened for writing: No such file");
    image_close(must_open("disk,size=1M"));
    must("test $(stat -c %%s disk) = 1048576");
    fails_with("disk,size=1k", "smaller size=");
    struct image *image = must_open("disk,size=2M");
    cr_assert_eq(image->size, 2 * MIB);
    image_close(image);
    must(": >empty");
    fails_with("empty", "is empty: give the disk a size");
    image_close(must_open("empty,size=1M"));
}

Test(images, raw_is_padded_to_a_sector)
{
    uint8_t bytes[512], expected[512] = "abcde";
    must("printf abcde >disk");
    struct image *image = must_open("disk,readonly");
    cr_assert_eq(image->size, 512);
    cr_assert_eq(read_at(image, bytes, 512, 0), 0);
    cr_assert_arr_eq(bytes, expected, 512);
    image_close(image);
}

Test(images, raw_discard_gives_room_back)
{
    static uint8_t bytes[MIB];
    struct image *image = must_open("disk,format=raw,size=4M");
    memset(bytes, 1, sizeof(bytes));
    cr_assert_eq(write_at(image, bytes, MIB, MIB), 0);
    must("test $(stat -c %%b disk) -ge 2048");
    cr_assert_eq(image->ops->discard(image, MIB, MIB), 0);
    must("test $(stat -c %%b disk) -lt 100 && test $(stat -c %%s disk) = 4194304");
    image_close(image);
}

/* A guest does not decide what its image is taken for the next time. */
Test(images, guests_cannot_turn_raw_into_qcow2)
{
    uint8_t header[512] = "QFI\xfb\0\0\0\3", bytes[512];
    must("truncate -s 1M disk");
    struct image *image = must_open("disk");
    cr_assert_eq(write_at(image, header, 512, 0), -EPERM);
    cr_assert_eq(write_at(image, header, 512, 512), 0);
    image_close(image);
    image = must_open("disk,format=raw");
    cr_assert_eq(write_at(image, header, 512, 0), 0);
    cr_assert_eq(read_at(image, bytes, 512, 0), 0);
    cr_assert_arr_eq(bytes, header, 512);
    image_close(image);
}

Test(images, other_files_are_refused)
{
    must("mkdir directory && mkfifo pipe && truncate -s 1M raw");
    fails_with("directory,readonly", "neither a regular file nor a block device");
    fails_with("pipe,readonly", "neither a regular file nor a block device");
    fails_with("raw,format=qcow2", "is not a qcow2 image");
    fails_with("missing/disk,size=1M", "cannot be created");
}

/* ---- Locks ---- */

Test(images, one_writer_or_many_readers)
{
    struct image *writer = must_open("disk,format=raw,size=1M");
    fails_with("disk", "disk: another process uses this image");
    fails_with("disk,readonly", "may write to it");
    fails_with("disk,snapshot", "may write to it");
    image_close(writer);
    struct image *readers[] = {must_open("disk,readonly"), must_open("disk,readonly"),
                               must_open("disk,snapshot")};
    fails_with("disk", "another process uses this image");
    for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
        image_close(readers[i]);
    image_close(must_open("disk"));
}

Test(images, backing_files_are_locked)
{
    must("truncate -s 1M base && qemu-img create -f qcow2 -b base -F raw disk");
    struct image *image = must_open("disk");
    fails_with("base", "another process uses this image");
    image_close(image);
    image = must_open("base");
    fails_with("disk", "base: another process uses this image");
    image_close(image);
}

/* QEMU's locks and ours know each other. */
Test(images, qemu_respects_the_lock)
{
    struct image *image = must_open("disk,format=qcow2,size=1M");
    must("! qemu-io -f qcow2 -c 'write 0 512' disk >said 2>&1 && grep -q lock said");
    must("qemu-img info -U disk");
    image_close(image);
    must("qemu-io -f qcow2 -c 'write 0 512' disk");
}

Test(images, qemu_is_respected)
{
    must("qemu-img create -f qcow2 disk 1M");
    must("mkfifo in && (qemu-io -f qcow2 disk <in & echo $! >pid) && exec 7>in && "
         "echo 'write 0 512' >&7 && sleep 1 && (sleep 3 >&7 &)");
    fails_with("disk", "disk: another process uses this image");
    must("kill $(cat pid)");
}

/* ---- qcow2 ---- */

Test(images, qcow2_that_we_make)
{
    image_close(must_open("disk,format=qcow2,size=100G"));
    check_image("disk", false);
    must("qemu-img info disk | grep 'virtual size: 100 GiB'");
    must("qemu-img info disk | grep 'cluster_size: 65536'");
    image_close(must_open("disk,format=qcow2,size=100T"));
    check_image("disk", false);
    fails_with("disk,format=qcow2,size=50T", "smaller size=");
}

Test(images, qcow2_grows)
{
    static uint8_t bytes[64 * KIB], read[64 * KIB];
    must("qemu-img create -f qcow2 -o cluster_size=512 disk 100k");
    struct image *image = must_open("disk");
    memset(bytes, 7, sizeof(bytes));
    cr_assert_eq(write_at(image, bytes, sizeof(bytes), 1024), 0);
    image_close(image);
    /* The L1 table moves, and the refcount table too. */
    image = must_open("disk,size=3G");
    cr_assert_eq(image->size, 3072 * MIB);
    cr_assert_eq(read_at(image, read, sizeof(read), 1024), 0);
    cr_assert_arr_eq(read, bytes, sizeof(read));
    cr_assert_eq(write_at(image, bytes, sizeof(bytes), 3071 * MIB), 0);
    image_close(image);
    check_image("disk", false);
    must("qemu-io -f qcow2 -c 'read -P 7 1k 64k' -c 'read -P 7 3071M 64k' disk >said && "
         "! grep 'verification failed' said");
}

Test(images, qcow2_growth_does_not_show_the_backing_file)
{
    uint8_t bytes[512], zeros[512] = {0};
    must("yes | head -c 1M >base && qemu-img create -f qcow2 -b base -F raw disk 100k");
    struct image *image = must_open("disk,size=2M");
    for (uint64_t at = 100 * KIB; at < 2 * MIB; at += 50 * KIB) {
        cr_assert_eq(read_at(image, bytes, 512, at), 0);
        cr_assert_arr_eq(bytes, zeros, 512);
    }
    image_close(image);
    check_image("disk", false);
}

Test(images, backing_names_are_relative_to_the_image)
{
    must("mkdir -p a/b && yes | head -c 64k >a/base && "
         "(cd a && qemu-img create -f qcow2 -b base -F raw b.qcow2) && "
         "(cd a/b && qemu-img create -f qcow2 -b ../b.qcow2 -F qcow2 c.qcow2)");
    struct image *image = must_open("a/b/c.qcow2");
    uint8_t bytes[512];
    cr_assert_eq(read_at(image, bytes, 512, 0), 0);
    cr_assert_eq(bytes[0], 'y');
    image_close(image);
    must("rm a/base");
    fails_with("a/b/c.qcow2", "a/b/../base: cannot be opened");
}

Test(images, cycles_and_long_chains_are_refused)
{
    must("qemu-img create -f qcow2 a 1M && qemu-img create -f qcow2 -b a -F qcow2 disk && "
         "qemu-img rebase -u -b disk -F qcow2 a");
    refused_untouched("disk", "is its own backing file");
    must("qemu-img create -f qcow2 0 1M");
    must("i=0; while [ $i -lt 70 ]; do "
         "qemu-img create -u -f qcow2 -b $i -F qcow2 $((i + 1)) 1M; i=$((i + 1)); done");
    fails_with("70", "more than 64 images");
    image_close(must_open("60"));
}

Test(images, other_backing_files_are_refused)
{
    must("qemu-img create -u -f qcow2 -b nbd:localhost:1 -F raw disk 1M");
    refused_untouched("disk", "is not a plain file");
    must("qemu-img create -u -f qcow2 -b x -F vmdk disk 1M");
    refused_untouched("disk", "format \"vmdk\" of its backing file is not offered");
}

Test(images, what_is_not_offered_is_named)
{
    must("qemu-img create -f qcow2 -o extended_l2=on disk 1M");
    refused_untouched("disk", "not offered: extended L2 entries (bit 4)");
    must("qemu-img create -f qcow2 -o data_file=data disk 1M");
    refused_untouched("disk", "not offered: external data file (bit 2)");
    must("qemu-img create --object secret,id=s,data=x -f qcow2 "
         "-o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 disk 1M");
    refused_untouched("disk", "is encrypted");
    must("qemu-img create -f qcow2 disk 1M");
    poke_be("disk", 72, BIT(40), 8);
    refused_untouched("disk", "not offered: one without a name (bit 40)");
}

Test(images, marks_are_respected)
{
    must("qemu-img create -f qcow2 disk 1M");
    poke_be("disk", 72, BIT(0), 8);
    refused_untouched("disk", "lazy refcounts: repair it");
    image_close(must_open("disk,readonly"));
    poke_be("disk", 72, BIT(1), 8);
    refused_untouched("disk", "is marked as corrupt");
    image_close(must_open("disk,readonly"));
    poke_be("disk", 72, 0, 8);
    poke_be("disk", 88, BIT(63) | BIT(0), 8); /* autoclear features */
    refused_untouched("disk,size=512k", "smaller size=");
    image_close(must_open("disk,readonly"));
    must("test $(od -An -tx8 -j88 -N8 disk) != 0000000000000000");
    image_close(must_open("disk"));
    must("test $(od -An -tx8 -j88 -N8 disk) = 0000000000000000");
}

Test(images, headers_are_not_trusted)
{
    static const struct {
        uint64_t offset, value;
        unsigned size;
        const char *message;
    } pokes[] = {
        {4, 4, 4, "is of version 4"},
        {20, 8, 4, "its cluster size is not"},
        {20, 22, 4, "its cluster size is not"},
        {24, BIT(62), 8, "its size is absurd"},
        {24, BIT(50), 8, "its L1 table does not fit"},
        {36, 0xffffffff, 4, "its L1 table does not fit"},
        {40, 0x30200, 8, "its L1 table lies outside"},
        {40, BIT(40), 8, "its L1 table lies outside"},
        {40, 0x10000, 8, "two of its tables overlap"},
        {48, 0, 8, "its refcount table lies outside"},
        {48, BIT(63), 8, "its refcount table lies outside"},
        {56, 0x10000000, 4, "its refcount table lies outside"},
        {60, 1, 4, "its snapshot table lies outside"},
        {96, 7, 4, "the width of its refcounts"},
        {100, 0x7ffffff8, 4, "the length of its header"},
        {100, 110, 4, "the length of its header"},
        {8, 0xff00, 8, "the name of its backing file"},
        {0x10000, 0x20200, 8, "a refcount block lies outside"},
        {0x10000, 0x30000, 8, "two of its tables overlap"},
        {0x30000, BIT(63) | 0x50000000, 8, "an L2 table lies outside"},
        {0x30000, BIT(63) | 0x10000, 8, "two of its tables overlap"},
        {0x30000, 1, 8, "an L2 table lies outside"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(pokes); i++) {
        must("rm -f disk && qemu-img create -f qcow2 disk 1M");
        if (pokes[i].offset == 8)
            poke_be("disk", 16, 1023, 4);
        poke_be("disk", pokes[i].offset, pokes[i].value, pokes[i].size);
        refused_untouched("disk", pokes[i].message);
    }
}

Test(images, truncated_files_are_refused)
{
    must("head -c 3M /dev/urandom >data && qemu-img convert -f raw -O qcow2 data whole");
    static const char *const sizes[] = {"10", "100", "70000", "200000", "1M", "3M"};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        must("cp whole disk && truncate -s %s disk", sizes[i]);
        refused_untouched("disk,format=qcow2", "disk: ");
        must("cp whole disk && truncate -s %s disk", sizes[i]);
        fails_with("disk,format=qcow2,readonly", "cut off");
    }
}

/* What lay in a free cluster does not show when it is used. */
Test(images, free_clusters_may_hold_anything)
{
    static uint8_t bytes[64 * KIB], expected[64 * KIB];
    must("qemu-img create -f qcow2 disk 1M && truncate -s 256k disk && "
         "yes | head -c 1000000 >>disk");
    struct image *image = must_open("disk");
    memset(expected, 9, 512);
    cr_assert_eq(write_at(image, expected, 512, 0), 0);
    cr_assert_eq(read_at(image, bytes, sizeof(bytes), 0), 0);
    cr_assert_arr_eq(bytes, expected, sizeof(bytes));
    image_close(image);
    check_image("disk", false);
}

/* A write that would go into a table ends all writing, and the image says so itself. */
Test(images, data_in_tables_is_never_written)
{
    uint8_t bytes[512] = {1};
    must("qemu-img create -f qcow2 disk 1M && qemu-io -f qcow2 -c 'write 0 64k' disk");
    struct image *image = must_open("disk");
    poke_be("disk", 0x40000, BIT(63) | 0x30000, 8); /* the L2 entry leads to the L1 table */
    cr_assert_eq(write_at(image, bytes, 512, 0), -EIO);
    cr_assert_eq(write_at(image, bytes, 512, 512 * KIB), -EIO);
    cr_assert_eq(image->ops->flush(image), -EIO);
    image_close(image);
    fails_with("disk", "is marked as corrupt");
}

/* ---- Snapshot mode ---- */

Test(images, snapshot_keeps_the_file)
{
    uint8_t bytes[512] = {1}, read[512];
    static const char *const makes[] = {
        "yes | head -c 1M >disk",
        "yes | head -c 1M >raw && qemu-img convert -f raw -O qcow2 raw disk"};
    for (size_t i = 0; i < ARRAY_SIZE(makes); i++) {
        must("%s", makes[i]);
        must("md5sum disk >before");
        struct image *image = must_open("disk,snapshot");
        cr_assert_not(image->readonly);
        cr_assert_eq(write_at(image, bytes, 512, 4096), 0);
        cr_assert_eq(image->ops->flush(image), 0);
        cr_assert_eq(read_at(image, read, 512, 4096), 0);
        cr_assert_arr_eq(read, bytes, 512);
        cr_assert_eq(read_at(image, read, 512, 4608), 0);
        cr_assert_eq(read[0], 'y');
        image_close(image);
        must("md5sum -c before");
    }
}
