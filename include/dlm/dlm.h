/* The whole public interface of libdlm. */
#ifndef DLM_DLM_H
#define DLM_DLM_H

#include "dlm/api.h"
#include "dlm/bases.h"
#include "dlm/bench.h"
#include "dlm/chat.h"
#include "dlm/compute.h"
#include "dlm/ctx.h"
#include "dlm/device.h"
#include "dlm/doctor.h"
#include "dlm/document.h"
#include "dlm/export.h"
#include "dlm/image_size.h"
#include "dlm/import.h"
#include "dlm/preprocess.h"
#include "dlm/prompt.h"
#include "dlm/pull.h"
#include "dlm/score.h"
#include "dlm/session.h"
#include "dlm/status.h"
#include "dlm/stores.h"
#include "dlm/tokenize.h"
#include "dlm/train.h"

#endif
