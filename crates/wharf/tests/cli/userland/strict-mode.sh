set -euo pipefail
f() { local a=$1; echo "f $a"; return 0; }
f x
if false; then echo no; else echo yes; fi
false || echo recovered
! false
(set +e; false; echo still)
x=$(echo a | tr a b)
echo "$x ${y:-default} ${y-d2}"
trap 'echo exit trap $?' EXIT
arr=(one "two three" four)
echo "${arr[@]}" "${#arr[@]}" "${arr[1]}" "${arr[@]:1:2}"
for i in "${arr[@]}"; do echo "<$i>"; done
declare -A m; m[a]=1; m[b]=2
for k in a b; do echo "$k=${m[$k]}"; done
echo "unset next"
true | false | true
echo notreached
