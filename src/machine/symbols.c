#include "machine/symbols.h"

#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <unistd.h>

static bool name_in_table(Elf *elf, Elf_Scn *section, uint64_t address, char *text, size_t size)
{
    GElf_Shdr header;
    Elf_Data *data = elf_getdata(section, NULL);
    if (!data || !gelf_getshdr(section, &header) || header.sh_entsize == 0)
        return false;
    for (size_t i = 0; i < header.sh_size / header.sh_entsize; i++) {
        GElf_Sym symbol;
        if (!gelf_getsym(data, (int)i, &symbol))
            return false;
        if (GELF_ST_TYPE(symbol.st_info) != STT_FUNC || address < symbol.st_value ||
            address - symbol.st_value >= symbol.st_size)
            continue;
        const char *name = elf_strptr(elf, header.sh_link, symbol.st_name);
        if (!name)
            return false;
        snprintf(text, size, "%s+%#llx", name, (unsigned long long)(address - symbol.st_value));
        return true;
    }
    return false;
}

bool symbols_name(const char *path, uint64_t address, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
    bool found = false;
    if (elf && elf_kind(elf) == ELF_K_ELF) {
        for (Elf_Scn *section = NULL; !found && (section = elf_nextscn(elf, section));) {
            GElf_Shdr header;
            if (gelf_getshdr(section, &header) && header.sh_type == SHT_SYMTAB)
                found = name_in_table(elf, section, address, text, size);
        }
    }
    elf_end(elf);
    close(fd);
    return found;
}
