/* Preloaded, a driver that is bad at one file of kernels: it crashes, or hangs, when it compiles
 * the file named in DLM_TEST_CRASH or DLM_TEST_HANG. All else is the installed driver's. */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef cl_int(CL_API_CALL *build_fn)(cl_program, cl_uint, const cl_device_id *, const char *,
                                      void(CL_CALLBACK *)(cl_program, void *), void *);

/* Kernel files begin with `#line 1 "NAME.cl"`. */
static int is_of(const char *source, const char *file)
{
    char line[128];

    snprintf(line, sizeof(line), "#line 1 \"%s\"", file ? file : "");
    return file && strstr(source, line);
}

/* visible: the build hides what is not told otherwise */
__attribute__((visibility("default"))) CL_API_ENTRY cl_int CL_API_CALL
clBuildProgram(cl_program program, cl_uint num_devices, const cl_device_id *devices,
               const char *options, void(CL_CALLBACK *notify)(cl_program, void *), void *user)
{
    static char source[1 << 20]; /* a program of a binary has none */
    const build_fn build = (build_fn)dlsym(RTLD_NEXT, "clBuildProgram");

    source[0] = '\0';
    clGetProgramInfo(program, CL_PROGRAM_SOURCE, sizeof(source), source, NULL);
    /* again after LLVM's handler, which takes itself away and returns */
    while (is_of(source, getenv("DLM_TEST_CRASH")))
        raise(SIGSEGV);
    while (is_of(source, getenv("DLM_TEST_HANG")))
        pause();
    return build(program, num_devices, devices, options, notify, user);
}
