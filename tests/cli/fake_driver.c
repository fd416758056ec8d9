/* A driver for OpenCL's loader and for Vulkan's that fails as soon as it is asked for anything: how
 * is told by DLM_TEST_DRIVER: hang, crash, abort, exit; leave: as if the program were at its end;
 * print: it writes to standard output and has no device; later: it has none where `--probe` asks,
 * and else hangs and leaves signals waiting. DLM_TEST_DRIVER_FORK names a file that gets the number
 * of a process which it starts before, and which holds all that is open and stays. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static int is_told(const char *what)
{
    const char *told = getenv("DLM_TEST_DRIVER");
    return told && !strcmp(told, what);
}

static void start_another(void)
{
    const char *path = getenv("DLM_TEST_DRIVER_FORK");
    FILE *file = path ? fopen(path, "a") : NULL;

    if (!file)
        return;
    const pid_t pid = fork();
    while (pid == 0)
        pause();
    fprintf(file, "%ld\n", (long)pid);
    fclose(file);
}

static int is_probed(void)
{
    char line[256] = "";
    FILE *file = fopen("/proc/self/cmdline", "r");
    const size_t len = file ? fread(line, 1, sizeof(line) - 1, file) : 0;

    if (file)
        fclose(file);
    for (size_t at = 0; at < len; at += strlen(line + at) + 1)
        if (!strcmp(line + at, "--probe"))
            return 1;
    return 0;
}

static void fail(void)
{
    sigset_t all;

    if (is_told("later") && !is_probed()) {
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        for (;;)
            pause();
    }
    start_another();
    while (is_told("hang"))
        pause();
    while (is_told("crash")) /* again after a handler that returns */
        raise(SIGSEGV);
    if (is_told("abort"))
        abort();
    if (is_told("exit"))
        _exit(3);
    if (is_told("leave"))
        exit(0);
    if (is_told("print"))
        puts("a driver's greeting\n[]");
    fflush(stdout);
}

/* OpenCL */
EXPORT void *clGetExtensionFunctionAddress(const char *name);
void *clGetExtensionFunctionAddress(const char *name)
{
    (void)name;
    fail();
    return NULL;
}

/* Vulkan */
EXPORT int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version);
int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version)
{
    (void)version;
    fail();
    return -9; /* VK_ERROR_INCOMPATIBLE_DRIVER */
}

EXPORT void *vk_icdGetInstanceProcAddr(void *instance, const char *name);
void *vk_icdGetInstanceProcAddr(void *instance, const char *name)
{
    (void)instance;
    (void)name;
    fail();
    return NULL;
}
