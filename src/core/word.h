/* word.h - how far a mistyped word is from one that exists. */
#ifndef VT_CORE_WORD_H
#define VT_CORE_WORD_H

/* Letters to insert, delete or replace to turn one word into the other (Levenshtein), upper and lower case alike;
 * 99 where one has more than 30. */
int vt_word_distance(const char *a, const char *b);

#endif
