# The builder of the standard environment: prepares PATH and the variables that build commands expect, then runs
# `buildCommand`, or the phases where there is none.
set -e
set -o pipefail
umask 022

if [ -e "${NIX_ATTRS_SH_FILE:-}" ]; then
    . "$NIX_ATTRS_SH_FILE"
elif [ -e .attrs.sh ]; then
    . ./.attrs.sh
fi

# With structured attributes the outputs are an associative array, and build commands expect variables.
if [ -z "${out:-}" ] && [ -n "${outputs[*]:-}" ]; then
    for outputName in "${!outputs[@]}"; do eval "export $outputName=\${outputs[$outputName]}"; done
fi

for input in ${initialPath[*]}; do PATH="$input/bin"; done
export PATH
inputsPath=

# Puts a package's programs in PATH and reads its hook; a file among the inputs is a hook itself.
addInput() {
    if [ -f "$1" ]; then . "$1"; fi
    if [ -d "$1/bin" ]; then inputsPath="$inputsPath$1/bin:"; fi
    if [ -f "$1/nix-support/setup-hook" ]; then . "$1/nix-support/setup-hook"; fi
    if [ -f "$1/nix-support/propagated-build-inputs" ]; then
        for propagated in $(cat "$1/nix-support/propagated-build-inputs"); do addInput "$propagated"; done
    fi
}
for input in ${nativeBuildInputs[*]:-} ${buildInputs[*]:-} ${propagatedNativeBuildInputs[*]:-} ${propagatedBuildInputs[*]:-}; do
    addInput "$input"
done
PATH="$inputsPath$PATH"

: "${SOURCE_DATE_EPOCH:=315532800}"
export SOURCE_DATE_EPOCH
export LC_ALL="${LC_ALL:-C}" TZ="${TZ:-UTC}"
export SHELL="${SHELL:-$BASH}"

# The value of a hook or phase is shell text, a function's name, or a file's.
runText() {
    if declare -F "$1" >/dev/null; then "$1"; elif [ -n "${!1:-}" ]; then eval "${!1}"; fi
}
runHook() { runText "$1"; }
runPhase() {
    local skip="dont${1^}"
    skip="${skip%Phase}"
    if [ -n "${!skip:-}" ]; then return 0; fi
    echo "Running phase: $1"
    runText "$1"
    if [ "$1" = unpackPhase ] && [ -n "${sourceRoot:-}" ]; then cd "$sourceRoot"; fi
}

# Puts a file or directory into the working directory, archives unpacked.
unpackFile() {
    echo "unpacking source archive $1"
    if [ -d "$1" ]; then
        local name
        name="$(basename "$1")"
        # A store path's hash is not part of the source's name.
        case "$name" in [0-9a-z]*-*) [ "${#name}" -gt 33 ] && name="${name:33}" ;; esac
        cp -r --no-preserve=mode,timestamps "$1" "$name"
        # Directories of the store are read-only, and what was executable stays so.
        (cd "$1" && find . -type f -perm -0100) | while read -r file; do chmod +x "$name/$file"; done
        return
    fi
    case "$1" in
        *.tar | *.tar.* | *.tgz | *.txz | *.tbz2) tar -xf "$1" ;;
        *)
            echo "do not know how to unpack source archive $1"
            return 1
            ;;
    esac
}

unpackPhase() {
    runHook preUnpack
    local before source dirs
    before=" $(echo *) "
    if [ -z "${src:-}${srcs:-}" ]; then
        echo 'variable $src or $srcs should point to the source'
        return 1
    fi
    for source in ${srcs[*]:-$src}; do unpackFile "$source"; done
    if [ -z "${sourceRoot:-}" ]; then
        for dirs in *; do
            if [ -d "$dirs" ] && [ "${before#*" $dirs "}" = "$before" ]; then
                if [ -n "${sourceRoot:-}" ]; then
                    echo "unpacker produced multiple directories"
                    return 1
                fi
                sourceRoot="$dirs"
            fi
        done
    fi
    if [ -z "${sourceRoot:-}" ]; then
        echo "unpacker appears to have produced no directories"
        return 1
    fi
    chmod -R u+w -- "$sourceRoot"
    runHook postUnpack
}
patchPhase() { runHook prePatch; runHook postPatch; }
configurePhase() { runHook preConfigure; runHook postConfigure; }
buildPhase() { runHook preBuild; runHook postBuild; }
checkPhase() { runHook preCheck; runHook postCheck; }
installPhase() { runHook preInstall; runHook postInstall; }
fixupPhase() { runHook preFixup; runHook postFixup; }

# A phase that the package defines as text takes the place of the function of its name.
definePhases() {
    local phase
    for phase in unpackPhase patchPhase configurePhase buildPhase checkPhase installPhase fixupPhase; do
        if [ -n "${!phase:-}" ]; then eval "$phase() { ${!phase}
}"; fi
    done
}

# substitute IN OUT --replace-fail OLD NEW …: texts replaced by others, a text that is absent being an error.
substitute() {
    local input="$1" output="$2" content old
    shift 2
    content="$(cat "$input"; echo x)"
    content="${content%x}"
    while [ $# -gt 0 ]; do
        case "$1" in
            --replace | --replace-fail | --replace-warn | --replace-quiet)
                case "$content" in
                    *"$2"*) content="${content//"$2"/"$3"}" ;;
                    *)
                        if [ "$1" = --replace-fail ]; then
                            echo "substitute(): ERROR: pattern $2 doesn't match anything in file '$input'" >&2
                            return 1
                        elif [ "$1" != --replace-quiet ]; then
                            echo "substitute(): WARNING: pattern $2 doesn't match anything in file '$input'" >&2
                        fi
                        ;;
                esac
                shift 3
                ;;
            --subst-var)
                old="@$2@"
                content="${content//"$old"/"${!2}"}"
                shift 2
                ;;
            --subst-var-by)
                old="@$2@"
                content="${content//"$old"/"$3"}"
                shift 3
                ;;
            *)
                echo "substitute(): ERROR: Invalid command line argument: $1" >&2
                return 1
                ;;
        esac
    done
    printf %s "$content" >"$output.substituted"
    # The mode of a file that is changed in place is kept.
    if [ -e "$output" ]; then cat "$output.substituted" >"$output" && rm "$output.substituted"; else mv "$output.substituted" "$output"; fi
}
substituteInPlace() {
    local files=()
    while [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; do
        files+=("$1")
        shift
    done
    local file
    for file in "${files[@]}"; do substitute "$file" "$file" "$@"; done
}

genericBuild() {
    if [ -f "${buildCommandPath:-}" ]; then
        . "$buildCommandPath"
    elif [ -n "${buildCommand:-}" ]; then
        eval "$buildCommand"
    else
        definePhases
        local phase
        for phase in unpackPhase patchPhase configurePhase buildPhase checkPhase installPhase fixupPhase; do
            if [ "$phase" = checkPhase ] && [ -z "${doCheck:-}" ]; then continue; fi
            runPhase "$phase"
        done
    fi
}

genericBuild
