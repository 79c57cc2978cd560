#!/usr/bin/env bash
# Situations of installing: programs that are built with the library, from a folder that was moved, by CMake or without it; the
# manual pages and the completion, which say what the program's own help says.
#   tests/situations/install.sh BUILD_FOLDER [NAME...]
. "$(dirname "$0")/lib.sh"
build=$(dirname "$variant") source=$(cd "$here/../.." && pwd)
sanitize=$(sed -nE 's/^VARIANT_SANITIZE:STRING=(..*)$/\1/p' "$build/CMakeCache.txt")
compiler=$(sed -nE 's/^CMAKE_C_COMPILER:[A-Z]+=(.*)$/\1/p' "$build/CMakeCache.txt")
flags=${sanitize:+-fsanitize=$sanitize}
unset PKG_CONFIG_PATH PKG_CONFIG_LIBDIR

# installed PREFIX: what `cmake --install` leaves
installed() { cmake --install "$build" --prefix "$PWD/$1" >install.txt 2>&1 || fault "no installation: $(tail -1 install.txt)"; }
# program: a small one, which draws a picture with the shipped model; the C++ one is the same with C++'s words
program() {
    cat >use.c <<'C'
#include <stdio.h>
#include "variant.h"
int main(int argc, char **argv) {
    variant_error err;
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = argc > 1 ? argv[1] : "";
    if (variant_engine_open(&engine, &options, &err) != VARIANT_OK) {
        printf("%s: %s\n", variant_version(), err.message);
        return 3;
    }
    variant_engine_close(&engine);
    puts(variant_version());
    return 0;
}
C
}
# works PROGRAM: opens a model, and says what is wrong with one that is none
works() {
    "$1" "$source/models/fashion" >said.txt 2>&1 || fault "$1 does not open the shipped model: $(head -1 said.txt)"
    "$1" nowhere >said.txt 2>&1 && fault "$1 opened nothing"
    grep -q nowhere said.txt || fault "$1: $(head -1 said.txt)"
}
compiles() { "$compiler" $flags "$@" >compile.txt 2>&1 || fault "does not compile: $(grep -m1 -E 'error|undefined|cannot' compile.txt)"; }
# configured SOURCE OPTIONS..: a build of a project of somebody else in the folder b
configured() {
    cmake -G Ninja -S "$1" -B b -DCMAKE_C_COMPILER="$compiler" -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags" "${@:2}" >cmake.txt 2>&1 ||
        fault "not configured: $(grep -A2 -m1 'CMake Error' cmake.txt | tr '\n' ' ')"
}
built() { cmake --build b >build.txt 2>&1 || fault "not built: $(grep -m1 -E 'error|undefined|cannot|FAILED' build.txt)"; }

# carries PROGRAM yes|no: the library is in the program, or beside it
carries() {
    readelf -d "$1" | grep -q 'NEEDED.*libvariant\.so\.0' && found=no || found=yes
    [ $found = "$2" ] || fault "$1 has the library inside: $found"
}
pkg_config() {
    installed usr
    program
    export PKG_CONFIG_PATH=$PWD/usr/lib/pkgconfig LD_LIBRARY_PATH=$PWD/usr/lib
    compiles use.c -o use $(pkg-config --cflags --libs variant)
    carries use no
    works ./use
    ! pkg-config --libs variant | grep -qE 'png|blas' || fault "a program of the shared library links what that needs: $(pkg-config --libs variant)"
    unset LD_LIBRARY_PATH
    compiles use.c -o use_static $(pkg-config --static --cflags --libs variant | sed 's/-lvariant/-l:libvariant.a/')
    carries use_static yes
    works ./use_static
    pkg-config --validate variant || fault "pkg-config does not like the file"
}
situation pkg-config "a C program by pkg-config, with the shared library and with the archive" pkg_config

built_parts() {
    grep -q '^CMAKE_GENERATOR:INTERNAL=Ninja' "$build/CMakeCache.txt" || skip "not built by Ninja"
    ninja -C "$build" -t commands variant_parts >commands.txt 2>&1 || fault "$(head -1 commands.txt)"
    ninja -C "$build" -t targets all | sed 's/: [^:]*$//' | sort >made.txt
    sed -nE "s|.*FILES \"$build/([^\"]+)\".*|\1|p" "$build/cmake_install.cmake" "$build"/python/cmake_install.cmake 2>/dev/null | sort -u >installed.txt
    comm -12 made.txt installed.txt >needed.txt
    [ "$(wc -l <needed.txt)" -ge 5 ] || fault "only $(tr '\n' ' ' <needed.txt) of what is installed is built"
    while read -r file; do
        ninja -C "$build" -t commands "$file" | tail -1 >last.txt
        grep -qxFf last.txt commands.txt || fault "$file is installed, and not built by variant_parts"
    done <needed.txt
    ! grep -q 'tests/test_' commands.txt || fault "tests are built"
}
situation built-parts "who builds variant_parts, as the front page says, can install: all that is installed is made by it, and no test" built_parts

archive_alone() {
    [ -z "$sanitize" ] || skip "built anew without sanitizers"
    cmake -G Ninja -S "$source" -B b -DCMAKE_C_COMPILER="$compiler" -DVARIANT_PROGRAM=OFF -DVARIANT_TESTS=OFF -DVARIANT_SHARED=OFF >cmake.txt 2>&1 ||
        fault "not configured: $(grep -A2 -m1 'CMake Error' cmake.txt | tr '\n' ' ')"
    built
    cmake --install b --prefix "$PWD/usr" >install.txt 2>&1 || fault "no installation"
    [ -z "$(find usr -name '*.so*')" ] || fault "a shared library was not asked for"
    program
    export PKG_CONFIG_PATH=$PWD/usr/lib/pkgconfig
    compiles use.c -o use $(pkg-config --cflags --libs variant)
    works ./use
    mkdir p
    cp use.c p/
    cat >p/CMakeLists.txt <<'CM'
cmake_minimum_required(VERSION 3.22)
project(somebody C)
find_package(variant 0.1 REQUIRED)
add_executable(use use.c)
target_link_libraries(use variant::variant)
CM
    rm -rf b
    configured p -DCMAKE_PREFIX_PATH="$PWD/usr"
    built
    works b/use
}
situation archive-alone "an installation without the shared library: pkg-config and CMake give the archive" archive_alone

moved_tree() {
    installed first
    mkdir deep
    mv first "deep/a new place"
    program
    export PKG_CONFIG_PATH="$PWD/deep/a new place/lib/pkgconfig"
    ! grep -rF "$PWD/first" "deep/a new place/lib/pkgconfig" "deep/a new place/lib/cmake" >kept.txt || fault "names the old place: $(head -1 kept.txt)"
    eval "compiles use.c -o use $(pkg-config --cflags --libs variant)"
    LD_LIBRARY_PATH="$PWD/deep/a new place/lib" works ./use
    mkdir p
    cp use.c p/
    cat >p/CMakeLists.txt <<'CM'
cmake_minimum_required(VERSION 3.22)
project(somebody C)
find_package(variant 0.1 REQUIRED)
add_executable(use use.c)
target_link_libraries(use variant::variant)
add_executable(use_static use.c)
target_link_libraries(use_static variant::static)
CM
    unset PKG_CONFIG_PATH
    configured p -DCMAKE_PREFIX_PATH="$PWD/deep/a new place"
    built
    carries b/use no
    works b/use
    carries b/use_static yes
    works b/use_static
}
situation moved-tree "the installed tree moved to a folder with blanks in its name: pkg-config and CMake find all there" moved_tree

find_in_cxx() {
    installed usr
    program
    mkdir p
    mv use.c p/use.cc
    cat >p/CMakeLists.txt <<'CM'
cmake_minimum_required(VERSION 3.22)
project(somebody CXX)
find_package(variant CONFIG REQUIRED)
find_package(variant CONFIG REQUIRED) # twice does no harm
add_library(middle STATIC use.cc)
target_link_libraries(middle PRIVATE variant::variant)
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/none.cc "")
add_executable(use none.cc)
target_link_libraries(use middle)
CM
    configured p -DCMAKE_PREFIX_PATH="$PWD/usr" -DCMAKE_CXX_COMPILER="$(command -v "${compiler/%cc/++}" || command -v c++)"
    built
    works b/use
    sed -i 's/variant CONFIG/variant 9.0 CONFIG/' p/CMakeLists.txt
    rm -rf b
    ! cmake -S p -B b -DCMAKE_PREFIX_PATH="$PWD/usr" >cmake.txt 2>&1 || fault "version 9.0 was found"
}
situation find-in-cxx "a C++ project without C, the library behind another: find_package; a version that is not there is not found" find_in_cxx

as_subdirectory() {
    program
    mkdir p
    cp use.c p/
    cat >p/CMakeLists.txt <<'CM'
cmake_minimum_required(VERSION 3.22)
project(somebody C)
set(CMAKE_UNITY_BUILD ON)
add_subdirectory(${VARIANT_SOURCE} variant)
add_executable(use use.c)
set_target_properties(use PROPERTIES UNITY_BUILD OFF)
target_link_libraries(use variant::variant)
install(TARGETS use)
get_directory_property(options COMPILE_OPTIONS)
get_directory_property(definitions COMPILE_DEFINITIONS)
if(options OR definitions OR CMAKE_C_VISIBILITY_PRESET OR CMAKE_C_STANDARD)
  message(FATAL_ERROR "settings of variant in the project around it: ${options} ${definitions}")
endif()
if(TARGET variant OR TARGET test_core)
  message(FATAL_ERROR "program and tests were not asked for")
endif()
CM
    configured p -DVARIANT_SOURCE="$source" -DCMAKE_BUILD_TYPE=Debug ${sanitize:+-DVARIANT_SANITIZE=$sanitize}
    built
    works b/use
    ninja -C b -t commands use | grep -E ' -c .*/use\.c' >flags.txt || fault "no command compiles use.c"
    ! grep -qE 'ffp-contract|fvisibility|_GNU_SOURCE|Wconversion|Wall' flags.txt || fault "flags of variant reach the program: $(cut -c1-250 flags.txt)"
    cmake --install b --prefix "$PWD/out" >install.txt 2>&1 || fault "no installation"
    [ "$(find out -type f | wc -l)" -eq 1 ] || fault "installs more than the project's own: $(find out -type f | tr '\n' ' ')"
}
situation as-subdirectory "add_subdirectory in a project of one's own: the library alone, no flag, no test, nothing installed" as_subdirectory

own_names() {
    installed usr
    nm -g --defined-only usr/lib/libvariant.a | awk 'NF == 3 { print $3 }' >names.txt
    ! grep -qv '^variant_' names.txt || fault "other names are seen: $(grep -v '^variant_' names.txt | head -3 | tr '\n' ' ')"
    program
    cat >>use.c <<'C'
int vt_fail(void);
int vt_kern_open(void);
int vt_fail(void) { return 1; }
int vt_kern_open(void) { return vt_fail(); }
C
    export PKG_CONFIG_PATH=$PWD/usr/lib/pkgconfig LD_LIBRARY_PATH=$PWD/usr/lib
    compiles use.c -o use $(pkg-config --cflags --libs variant)
    works ./use
    compiles use.c -rdynamic -o use_static $(pkg-config --static --cflags --libs variant | sed 's/-lvariant/-l:libvariant.a/')
    works ./use_static
}
situation own-names "only the library's names are global, in the archive and the shared library: a program may have a vt_fail of its own" own_names

# ---- manuals and completion

commands=(generate plan "train tokenizer" "train transformer" "train supernet" "train classifier" eval bench "bench train" sweep inspect
    convert encode decode reconstruct classify synth selftest)

every_option() {
    [ -z "$sanitize" ] || skip "the sanitizer has to be loaded first"
    "$compiler" -shared -fPIC "$here/../getopt_names.c" -o names.so || fault "no names.so"
    . "$build/manuals/variant.bash" || fault "the completion cannot be read"
    local walked=0
    for command in "${commands[@]}"; do
        # shellcheck disable=SC2086
        LD_PRELOAD=$PWD/names.so "$variant" $command -x >taken.txt
        # shellcheck disable=SC2086
        "$variant" $command --help >help.txt
        page=$build/manuals/man1/variant-${command// /-}.1
        [ -s "$page" ] || fault "no manual page of $command"
        grep '^\.B ' "$page" | tr -d '\\' >page.txt
        [ "$(wc -l <taken.txt)" -gt 5 ] || fault "$command: options were not read"
        while read -r option; do
            walked=$((walked + 1))
            name=${option%=}
            grep -qE -- "(^|[ ,])$name([[ ,]|$)" help.txt || fault "$command takes $name, its help does not say so"
            grep -qE -- "[ ,]$name([[ ,]|$)" page.txt || fault "$command takes $name, its manual page does not say so"
            [[ " ${_variant_options[$command]} " == *" $name "* ]] || fault "$command takes $name, completion does not offer it"
            if [[ $option == *= ]]; then
                [ -n "${_variant_takes["$command $name"]-}" ] || fault "$command $name takes a value, completion does not know"
            elif [[ $option == --* ]]; then
                [ -z "${_variant_takes["$command $name"]-}" ] || fault "$command $name takes no value, completion waits for one"
            fi
        done <taken.txt
        for name in ${_variant_options[$command]}; do
            grep -qxE -- "$name=?" taken.txt || fault "completion offers $name, $command does not take it"
        done
    done
    [ $walked -gt 300 ] || fault "only $walked options"
}
situation every-option "each option that a command takes: in its help, on its manual page and in completion, and none besides" every_option

pages_are_clean() {
    installed usr
    local pages
    pages=$(find usr/share/man/man1 -name 'variant*.1' | wc -l)
    [ "$pages" -ge 19 ] || fault "$pages pages"
    for command in generate train-supernet bench-train; do [ -s usr/share/man/man1/variant-$command.1 ] || fault "no page of $command"; done
    command -v mandoc >/dev/null || command -v man >/dev/null || skip "neither mandoc nor man"
    for page in usr/share/man/man1/*.1; do
        if command -v mandoc >/dev/null; then
            mandoc -T lint -W warning "$page" >lint.txt 2>&1 || fault "$(head -1 lint.txt)"
        fi
        if command -v man >/dev/null && man --warnings -l "$page" >shown.txt 2>lint.txt; then
            [ ! -s lint.txt ] || fault "$page: $(head -1 lint.txt)"
            grep -q "SEE ALSO" shown.txt || fault "$page ends early"
        fi
    done
}
situation pages-are-clean "manual pages of the program and each command, without a warning" pages_are_clean

# completes WORDS.. -- EXPECTED..: what is offered when the last word was typed so far
completes() {
    local words=() word
    while [ "$1" != -- ]; do words+=("$1"); shift; done
    shift
    COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1)) COMPREPLY=()
    _variant 2>/dev/null
    for word in "$@"; do
        [[ " ${COMPREPLY[*]} " == *" $word "* ]] || fault "${words[*]}: not $word, but ${COMPREPLY[*]}"
    done
    [ $# -gt 0 ] || [ ${#COMPREPLY[@]} -eq 0 ] || fault "${words[*]}: offers ${COMPREPLY[*]}"
}
typing() {
    installed usr
    bash -n usr/share/bash-completion/completions/variant || fault "not a script"
    . usr/share/bash-completion/completions/variant
    mkdir pictures
    : >model.safetensors
    completes variant gen -- generate
    completes variant --v -- --version
    completes variant help sw -- sweep
    completes variant train t -- tokenizer transformer
    completes variant train tokenizer --wa -- --warmup
    completes variant plan tr -- train
    completes variant plan train s -- supernet
    completes variant plan train tokenizer --wa -- --warmup
    completes variant help plan "" -- train
    completes variant train tokenizer --depth --
    completes variant train supernet --draw "" -- uniform weighted deepest-first
    completes variant train tokenizer --schedule c -- cosine constant
    completes variant train tokenizer --extend "" -- cosine constant
    completes variant generate --weights "" -- f32 bf16 int8
    completes variant generate --layers p -- prefix
    completes variant generate --quality b -- balanced
    completes variant convert --type b -- bf16
    completes variant eval --split "" -- test train
    completes variant generate -m mod -- model.safetensors
    completes variant train tokenizer --data pic -- pictures
    completes variant train tokenizer -o pic -- pictures
    completes variant bench train --precision "" -- f32 bf16
    completes variant generate -n "" --
    completes "$variant" generate -m "$source/models/fashion" --depth "" -- 12 6 3 2
    completes "$variant" generate -m "$source/models/fashion" --compare 12,6,1 -- 12,6,12
    completes "$variant" generate -m nowhere --depth "" --
    completes "$variant" generate -m "$source/models/fashion" --class Sn -- Sneaker
    completes "$variant" generate -m "$source/models/fashion" --class al -- all
    completes "$variant" generate -m nowhere --class ra -- random
}
situation typing "what bash offers: commands, kinds, options, words of options, files, folders, and the classes of the model that was named" typing

# What other shells offer is asked in lines and answered in lines of words between tabs; the same lines are asked of both. A line that
# ends in nothing asks for all. Behind |: what has to be among it; behind !: what must not be; nothing behind them: nothing at all.
typed=(
    'variant gen|generate'
    'variant |generate train serve help'
    'variant help sw|sweep'
    'variant train t|tokenizer transformer!supernet'
    'variant plan train s|supernet'
    'variant help plan |train'
    'variant train tokenizer --wa|--warmup'
    'variant plan train tokenizer --wa|--warmup'
    'variant generate --de|--depth --depths --decoder!--help'
    'variant train tokenizer --depth |!12'
    'variant train supernet --draw |uniform weighted deepest-first'
    'variant generate --weights |f32 bf16 int8 int4'
    'variant bench train --precision b|bf16!f32'
    'variant generate -m mod|model.safetensors'
    'variant train tokenizer -o pic|pictures!model.safetensors'
    'variant generate -n |!model.safetensors'
    'VARIANT generate -m FASHION --class Sn|Sneaker'
    'VARIANT generate -m FASHION --class a|all!Sneaker'
    'VARIANT generate -m nowhere --class ra|random'
    'VARIANT generate -m FASHION --depth |12 6 3 2!7 all'
    'VARIANT generate --model FASHION --class Bag --compare 12,|COMMA6 COMMA3'
    'VARIANT generate --model=FASHION --depth |12 6 3 2'
    'VARIANT generate -m nowhere --depth |!12'
)
# answers COMMA FILE: FILE has a line for each of typed; COMMA: what stands before one more of a list
answers() {
    local asked line word no=0
    [ "$(wc -l <"$2")" -eq ${#typed[@]} ] || fault "$(wc -l <"$2") answers to ${#typed[@]} lines"
    while IFS= read -r line; do
        asked=${typed[no++]}
        wanted=${asked#*|} unwanted=""
        [[ $wanted != *"!"* ]] || unwanted=${wanted#*!} wanted=${wanted%%!*}
        for word in ${wanted//COMMA/$1}; do [[ $'\t'$line$'\t' == *$'\t'"$word"$'\t'* ]] || fault "${asked%%|*}: not $word, but $line"; done
        for word in $unwanted; do [[ $'\t'$line$'\t' != *$'\t'"$word"$'\t'* ]] || fault "${asked%%|*}: $word as well"; done
    done <"$2"
}
# lines: what is typed of each of typed
lines() {
    local line
    mkdir pictures
    : >model.safetensors
    ln -s "$variant" .
    for line in "${typed[@]}"; do
        line=${line%%|*} line=${line/FASHION/"$source/models/fashion"}
        echo "${line/VARIANT/./variant}"
    done >lines.txt
}
typing_zsh() {
    command -v zsh >/dev/null || skip "no zsh"
    installed usr
    lines
    zsh -n usr/share/zsh/vendor-completions/_variant 2>said.txt || fault "not a script: $(head -1 said.txt)"
    mapfile -t asked <lines.txt
    python3 "$here/../zsh_completion.py" "$PWD/usr/share/zsh/vendor-completions" "${asked[@]}" >answers.txt 2>said.txt || fault "$(tail -1 said.txt)"
    answers "" answers.txt
}
situation typing-zsh "what zsh offers, in a terminal: the same, and what each option does beside it" typing_zsh

typing_fish() {
    command -v fish >/dev/null || skip "no fish"
    installed usr
    lines
    export HOME=$PWD XDG_CONFIG_HOME=$PWD XDG_DATA_HOME=$PWD
    fish --no-execute usr/share/fish/vendor_completions.d/variant.fish 2>said.txt || fault "not a script: $(head -1 said.txt)"
    cat >ask.fish <<'FISH'
source usr/share/fish/vendor_completions.d/variant.fish
while read -l line
    set -l offered (complete -C "$line" | string replace -r '\t.*' '' | string trim -r -c /)
    echo (string join -- \t $offered)
end
FISH
    fish ask.fish <lines.txt >answers.txt 2>said.txt || fault "$(head -1 said.txt)"
    [ ! -s said.txt ] || fault "$(head -1 said.txt)"
    answers 12, answers.txt
}
situation typing-fish "what fish offers: the same" typing_fish

situations_end
