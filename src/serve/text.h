/* text.h - letters and bytes as they travel: UTF-8, names that cannot be guessed, keys compared. */
#ifndef VT_SERVE_TEXT_H
#define VT_SERVE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool sv_is_utf8(const char *text, size_t size);
/* Puts a question mark in the place of every byte that is no UTF-8, such as those of a letter cut off. */
void sv_clean_utf8(char *text);
/* 32 hex digits of the system's random numbers. */
void sv_random_id(char out[33]);
/* Takes as long whatever the first difference is. */
bool sv_same_secret(const char *given, const char *key);
/* printf into new memory; NULL: no memory. */
char *sv_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
