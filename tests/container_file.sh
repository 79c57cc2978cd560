# Reads a Containerfile into arrays; sourced by tests/archive.sh with the file's name. Where there is no tool that builds images, what it
# names and runs is tried by hand.
#   container_from container_runs container_copied (of the last stage: from another stage, to)
#   container_env (NAME=VALUE) container_user container_health container_entry container_command (words)
container_words() { python3 -c 'import json, sys; print("\0".join(json.loads(sys.argv[1])), end="\0")' "$1"; }
container_read() {
    local instruction rest line=""
    container_from=() container_runs=() container_copied=() container_env=() container_user="" container_health=() container_entry=() container_command=()
    while IFS= read -r next; do
        next=${next#"${next%%[![:space:]]*}"}
        [[ $next == "#"* || -z $next ]] && continue
        line+=$next
        if [[ $line == *\\ ]]; then
            line=${line%\\}
            continue
        fi
        instruction=${line%% *} rest=${line#* } line=""
        case $instruction in
            FROM) container_from+=("$rest") ;;
            RUN) container_runs+=("$rest") ;;
            COPY) [[ $rest != --from=build\ * ]] || container_copied=(${rest#--from=build }) ;;
            ENV) container_env+=($rest) ;;
            USER) container_user=$rest ;;
            HEALTHCHECK) mapfile -d '' container_health < <(container_words "${rest#*CMD }") ;;
            ENTRYPOINT) mapfile -d '' container_entry < <(container_words "$rest") ;;
            CMD) mapfile -d '' container_command < <(container_words "$rest") ;;
            ARG | WORKDIR | EXPOSE | STOPSIGNAL) ;;
            *) echo "FAIL: $1: an instruction that this test does not know: $instruction"; exit 1 ;;
        esac
    done <"$1"
}
container_read "$1"
