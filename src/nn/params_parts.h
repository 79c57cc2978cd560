/* params_parts.h - what params.c and params_load.c both ask of a parameter. */
#ifndef VT_NN_PARAMS_PARTS_H
#define VT_NN_PARAMS_PARTS_H

#include "nn/params.h"

/* Has it values at all? Buffers and parts that will not run have none. */
bool vt_param_is_value(const vt_param *param);
/* Does memory hold it in another order than files? */
bool vt_param_is_permuted(const vt_param *param);
/* Of its product, in the type that was asked for or in the one that stands in for it. */
vt_number vt_param_weight_type(const vt_params *params, const vt_param *param);
/* Has it float32 values in memory or in the mapped file? Otherwise its weight is the only copy. */
bool vt_param_has_floats(const vt_params *params, const vt_param *param);
/* The shape of a parameter as a matrix of products. */
vt_weight_spec vt_param_weight_spec(const vt_params *params, const vt_param *param);
/* param->weight. E_UNSUPPORTED: no kernel convolves bytes, a 1x1 kernel's neither, although its weight could be opened. */
variant_status vt_param_open_weight(const vt_params *params, vt_param *param,
                                    const vt_weight_spec *spec, variant_error *err);

#endif
