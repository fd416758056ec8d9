/* Files that a document refers to: `::image::` paths and the folders of training.sources. */
#ifndef DLM_DOC_SOURCES_H
#define DLM_DOC_SOURCES_H

#include "doc/doc.h"

/* Absolute path, symlinks resolved, of the folder a document's relative paths start from: the
 * folder of doc_path, or its parent when that folder is named ".dlm". */
enum dlm_status dlm_doc_base_dir(struct dlm_ctx *ctx, const char *doc_path,
                                 char **dir) DLM_CHECK_RESULT;

/* Resolves the path of an `::image::` fence to an absolute path, owned by the caller. line is where
 * the fence stands, for messages (0: unknown).
 * DLM_ERR_IO: no such file; DLM_ERR_INVALID: not a regular file, or outside the document's folder
 * after symlinks are resolved. */
enum dlm_status dlm_doc_resolve_image(struct dlm_ctx *ctx, const char *doc_path, const char *rel,
                                      int64_t line, char **abs_path) DLM_CHECK_RESULT;

/* What became of the files of one entry of training.sources. */
struct dlm_doc_provenance {
    const char *path; /* as written */
    int64_t file_count, total_bytes;      /* text files ingested */
    int64_t image_count, image_bytes;     /* image files ingested */
    int64_t images_without_caption;       /* of image_count */
    int64_t caption_count;                /* NAME.txt files used as captions */
    int64_t audio_skipped;                /* audio files, which nothing here trains on */
    int64_t skipped_binary, skipped_encoding, skipped_over_size, skipped_by_descent;
};

/* The sections made from training.sources, in the order of entries and, inside one, of paths. */
struct dlm_doc_sources {
    struct dlm_arena arena;
    struct dlm_doc_section *sections; /* prose and image; source_file is set */
    size_t num_sections;
    struct dlm_doc_provenance *provenance; /* one for each entry */
    size_t num_provenance;
};

/* Walks every entry of doc->training.sources. doc->path must be set when there is one. *out must
 * be all zero; finish it also after a failure. DLM_ERR_IO: a root does not exist or a folder
 * cannot be read; DLM_ERR_INVALID: the strict policy forbids the path. Files that cannot be used
 * are counted. */
enum dlm_status dlm_doc_sources_read(struct dlm_ctx *ctx, const struct dlm_doc *doc,
                                     struct dlm_doc_sources *out) DLM_CHECK_RESULT;
void dlm_doc_sources_finish(struct dlm_doc_sources *sources);

/* Full match of a path with '/' against a glob: "**" any run (a following '/' is part of it), "*"
 * any run without '/', "?" one character that is not '/', all else literal. */
bool dlm_doc_glob_match(const char *pattern, const char *path);

#endif
