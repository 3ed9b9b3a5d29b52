exec > log; echo logged; exec >/dev/stderr
cat log >&2
exec sh -c 'echo replaced >&2; exit 5'
