/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reads, and does not map: a file that becomes shorter meanwhile must not end the host. */
#include "plugin/symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

#define SECTIONS_MAX 10000
#define TABLE_MAX (16UL << 20) /* bytes of symbols, and of their names */

static bool read_at(int fd, uint64_t offset, void *to, size_t len)
{
    return offset <= INT64_MAX && pread(fd, to, len, (off_t)offset) == (ssize_t)len;
}

/* The contents of a section, with a zero byte at their end; NULL: they cannot be read. */
static void *read_section(int fd, const ElfW(Shdr) * section)
{
    if (section->sh_size > TABLE_MAX)
        return NULL;
    char *bytes = memory_new((size_t)section->sh_size + 1);
    if (read_at(fd, section->sh_offset, bytes, (size_t)section->sh_size))
        return bytes;
    free(bytes);
    return NULL;
}

static char *find_in(int fd, const ElfW(Shdr) * table, const ElfW(Shdr) * names, uint64_t address, uint64_t *into)
{
    char *found = NULL, *text = read_section(fd, names);
    ElfW(Sym) *symbols = read_section(fd, table);
    size_t count = (size_t)table->sh_size / sizeof *symbols;
    for (size_t i = 0; text != NULL && symbols != NULL && found == NULL && i < count; i++) {
        const ElfW(Sym) *symbol = &symbols[i];
        if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
            symbol->st_name >= names->sh_size || address < symbol->st_value ||
            address - symbol->st_value >= symbol->st_size)
            continue;
        *into = address - symbol->st_value;
        found = memory_text(text + symbol->st_name);
    }
    free(text);
    free(symbols);
    return found;
}

char *symbols_find(int fd, uint64_t address, uint64_t *into)
{
    ElfW(Ehdr) head;
    char *found = NULL;
    if (!read_at(fd, 0, &head, sizeof head) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
        head.e_shentsize != sizeof(ElfW(Shdr)) || head.e_shnum == 0 || head.e_shnum > SECTIONS_MAX)
        return NULL;
    ElfW(Shdr) *sections = memory_new(head.e_shnum * sizeof *sections);
    if (read_at(fd, head.e_shoff, sections, head.e_shnum * sizeof *sections))
        for (size_t i = 0; found == NULL && i < head.e_shnum; i++)
            if (sections[i].sh_type == SHT_SYMTAB && sections[i].sh_link < head.e_shnum)
                found = find_in(fd, &sections[i], &sections[sections[i].sh_link], address, into);
    free(sections);
    return found;
}

/* The call at `at`, which begins with the file's name and "(+0x". A caller's address is that of the next instruction,
 * which may belong to the next function. */
static const char *put_call(struct text *out, const char *at, size_t len, int fd, bool calls)
{
    char *end, *name = NULL;
    uint64_t address = strtoull(at + len, &end, 16), into = 0;
    if (address > 0 && *end == ')')
        name = symbols_find(fd, address - calls, &into);
    if (name == NULL) {
        text_put(out, at, len);
        return at + len;
    }
    text_put(out, at, len - strlen("+0x"));
    text_puts(out, name);
    text_printf(out, "+0x%llx", (unsigned long long)into + calls);
    free(name);
    return end;
}

void symbols_put(struct text *out, const char *words, const char *path, const char *file)
{
    struct text call = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    text_printf(&call, "%s(+0x", file);
    for (const char *next; fd >= 0 && (next = strstr(words, call.at)) != NULL;) {
        bool calls = next - words >= 2 && next[-2] == '<';
        text_put(out, words, (size_t)(next - words));
        words = put_call(out, next, call.len, fd, calls);
    }
    text_puts(out, words);
    text_free(&call);
    if (fd >= 0)
        close(fd);
}
