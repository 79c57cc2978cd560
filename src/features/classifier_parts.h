/* classifier_parts.h - the classifier's inside, for classifier.c and classifier_file.c alone. */
#ifndef VT_FEATURES_CLASSIFIER_PARTS_H
#define VT_FEATURES_CLASSIFIER_PARTS_H

#include "features/classifier.h"
#include "nn/linear.h"
#include "nn/picture_chain.h"

struct vt_classifier {
    vt_kern *kern; /* borrowed */
    vt_classifier_config config;
    vt_params params;
    vt_picture_chain chain; /* (B, side, side, channels) to (B, side / 2^levels, ., D) */
    vt_linear head;         /* (classes, D) */
    char **class_names;     /* (classes), owned; NULL: none known */
};

#endif
