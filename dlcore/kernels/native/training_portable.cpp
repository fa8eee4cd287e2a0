// The build of training for any x86-64. The bodies are plain loops, which the compiler turns into vectors.
#include "flat_body.h"
#include "rows_body.h"
#include "update_body.h"

const dlcore::Training dlcore::training_portable = {
    sgd, adam, rmsprop, draws_below, masked, relu, relu_backward, softmax, softmax_backward, layer_norm, layer_norm_backward,
    lrn, lrn_backward, add_rows,
};
