/* A listing from a hub that may be anyone's: names are names of files without a folder, hashes are
 * hex, and sums of sizes do not overflow. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "hub/listing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_listing(const struct dlm_hub_listing *listing)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < listing->len; i++) {
        const struct dlm_hub_file *file = &listing->files[i];
        if (!*file->name || *file->name == '.' || strchr(file->name, '/') ||
            !dlm_hub_is_hex(file->hash, file->is_sha256 ? 64 : 40))
            __builtin_trap();
        bytes += file->bytes;
        if (bytes < file->bytes)
            __builtin_trap();
    }
    if (bytes != listing->bytes || !dlm_hub_is_hex(listing->commit, 40) ||
        strcmp(listing->files[listing->len - 1].name, "config.json") != 0)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlm_ctx *ctx = dlm_ctx_create(NULL);
    struct dlm_hub_listing listing = {0};

    if (ctx && !dlm_hub_listing_parse(ctx, &listing, "fuzz/fuzz", (const char *)data, size))
        check_listing(&listing);
    dlm_hub_listing_finish(&listing);
    dlm_ctx_destroy(&ctx);
    return 0;
}
