#include "text.h"

#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static Elf_Data *find_text(Elf *elf)
{
    size_t names;
    if (elf_getshdrstrndx(elf, &names))
        return NULL;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header))
            continue;
        const char *name = elf_strptr(elf, names, header.sh_name);
        if (name && !strcmp(name, ".text"))
            return elf_rawdata(section, NULL);
    }
    return NULL;
}

bool text_open(struct text *text, const char *path)
{
    elf_version(EV_CURRENT);
    *text = (struct text){.fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (text->fd >= 0)
        text->elf = elf_begin(text->fd, ELF_C_READ_MMAP, NULL);
    Elf_Data *data = text->elf ? find_text(text->elf) : NULL;
    if (data && data->d_buf) {
        text->code = data->d_buf;
        text->size = data->d_size;
        return true;
    }
    fprintf(stderr, "%s: cannot read its .text section: name a 64-bit ELF file\n", path);
    text_close(text);
    return false;
}

void text_close(struct text *text)
{
    elf_end(text->elf);
    if (text->fd >= 0)
        close(text->fd);
}
