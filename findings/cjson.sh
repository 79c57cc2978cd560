#!/usr/bin/env bash
# Debian 12's cJSON (libcjson-dev 1.7.15-1+deb12u4): numbers come back from their own text as other numbers, and a mark of UTF-8 is passed over
# only where at least two bytes follow it.
#
# Expected of a printed number: text that reads back as the same double, with 17 digits where 15 do not do, as the library's own two
# attempts suggest.
# Seen: the second attempt is made only where the first is off by more than one part in 2^52 of the larger of both, so the sum of 0.1 and
# 0.2 prints as 0.3, and 2^53 - 1, which is whole and exact, as 9.00719925474099e+15, which is one less; whole numbers of fifteen digits
# and fewer are kept.
# Expected of the parser: a text that begins with the mark is read as it would be without.
# Seen: so it is of five bytes and more; the mark and one digit alone, four bytes, are refused.
# What it means here: checkpoints hold rates and means as text of 17 digits, sides and places of tensors are written digit by digit
# (vt_json_whole of src/io/json.h), and src/io/json_is.c takes a mark as the parser does.
#
# Needs gcc, apt and the package (tools/install-deps.sh).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
wrong=0
expect() { [ "$2" = "$3" ] && echo "$1: $2" || { echo "$1: $2, and this file says $3"; wrong=1; }; }

apt-get download -qq "libcjson-dev=1.7.15-1+deb12u4" "libcjson1=1.7.15-1+deb12u4" >/dev/null 2>&1
for package in *.deb; do dpkg-deb -x "$package" root; done
cat >numbers.c <<'C'
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
static void print(double value) {
    cJSON *number = cJSON_CreateNumber(value);
    char *text = cJSON_PrintUnformatted(number);
    puts(text);
    cJSON_free(text);
    cJSON_Delete(number);
}
static void parse(const char *text) {
    cJSON *json = cJSON_ParseWithLength(text, strlen(text));
    puts(json ? "read" : "refused");
    cJSON_Delete(json);
}
int main(void) {
    print(0.1 + 0.2);
    print(9007199254740991.0);
    print(999999999999999.0);
    parse("\xEF\xBB\xBF" "12");
    parse("\xEF\xBB\xBF" "1");
    return 0;
}
C
library=$(echo root/usr/lib/*)
gcc -isystem root/usr/include numbers.c -o numbers -L"$library" -Wl,-rpath,"$PWD/$library" -l:libcjson.so.1
mapfile -t seen < <(./numbers)
expect "0.1 + 0.2" "${seen[0]}" "0.3"
expect "2^53 - 1" "${seen[1]}" "9.00719925474099e+15"
expect "10^15 - 1" "${seen[2]}" "999999999999999"
expect "a mark and two digits" "${seen[3]}" "read"
expect "a mark and a digit" "${seen[4]}" "refused"
[ $wrong = 0 ] && echo "as this file says"
exit $wrong
