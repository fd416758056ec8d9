/* The activations and their derivatives in f64: the definition, for the C references. */
#ifndef DLM_OPS_ACTIVATION_H
#define DLM_OPS_ACTIVATION_H

#include <stdint.h>

double dlm_act_f64(uint32_t kind, double x);
double dlm_act_grad_f64(uint32_t kind, double x);

#endif
