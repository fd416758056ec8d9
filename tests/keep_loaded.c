/* A dlclose() that does nothing, to be preloaded when leaks are looked for. Some Vulkan and OpenCL
 * drivers leave a few bytes behind each time they are unloaded; once the driver is gone, the leak
 * has no name that tests/lsan.supp could list. */
#include <stdlib.h>

int dlclose(void *handle);

__attribute__((visibility("default"))) int dlclose(void *handle)
{
    (void)handle;
    return 0;
}

/* The programs that a driver starts, a linker for one, are not ours to look into. */
__attribute__((constructor)) static void end_preload(void)
{
    unsetenv("LD_PRELOAD");
}
