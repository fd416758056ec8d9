/* dlm-manual ABOUT FOLDER: writes the man pages and completions into FOLDER, with the hand-written
 * sections that lie in ABOUT as COMMAND.roff (of the program: dlm.roff). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "manual.h"

static void fail(const char *path)
{
    fprintf(stderr, "dlm-manual: %s: %s\n", path, strerror(errno));
    exit(1);
}

/* The whole of a file, to be freed. */
static char *read_about(const char *folder, const char *name)
{
    char path[4096];
    size_t len = 0;

    snprintf(path, sizeof(path), "%s/%s.roff", folder, name);
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 16);
    if (!file || !text)
        fail(path);
    len = fread(text, 1, (1 << 16) - 1, file);
    if (ferror(file) || len == (1 << 16) - 1)
        fail(path);
    fclose(file);
    return text;
}

static FILE *open_file(const char *folder, const char *name, const char *command)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s%s%s", folder, name, command, *command ? ".1" : "");
    FILE *file = fopen(path, "w");
    if (!file)
        fail(path);
    return file;
}

static void close_file(FILE *file)
{
    if (fflush(file) || ferror(file) || fclose(file))
        fail("cannot write");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*write)(FILE *file);
    } completions[] = {
        {"dlm.bash", dlm_manual_bash}, {"_dlm", dlm_manual_zsh}, {"dlm.fish", dlm_manual_fish}};

    if (argc != 3) {
        fputs("usage: dlm-manual ABOUT FOLDER\n", stderr);
        return 2;
    }
    for (size_t i = 0; i < sizeof(completions) / sizeof(completions[0]); i++) {
        FILE *file = open_file(argv[2], completions[i].name, "");
        completions[i].write(file);
        close_file(file);
    }
    char *about = read_about(argv[1], "dlm");
    FILE *file = open_file(argv[2], "dlm.1", "");
    dlm_manual_program(file, about);
    close_file(file);
    free(about);
    for (size_t i = 0; i < dlm_num_commands; i++) {
        const struct dlm_option_table *table = &dlm_commands[i]->table;
        about = read_about(argv[1], table->command);
        file = open_file(argv[2], "dlm-", table->command);
        dlm_manual_command(file, table, about);
        close_file(file);
        free(about);
    }
    return 0;
}
