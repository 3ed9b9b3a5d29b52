runHook() { local hookName="$1"; shift; local var="$hookName[@]"; if declare -F "$hookName" >/dev/null; then "$hookName"; else eval "${!hookName:-}"; fi; }
preBuild='echo pre'; postBuild() { echo post; }
runHook preBuild; runHook postBuild; runHook none
out=$PWD/out; mkdir -p $out/bin
for f in a b; do install -m755 /dev/null $out/bin/$f; done
find $out -type f | sort | sed "s,$PWD,,"
substitute() { sed -e "s/@x@/$1/"; }; echo 'v=@x@' | substitute 7
if [ -n "${foo:-}" ]; then echo foo; elif [[ -z ${bar-} ]]; then echo nobar; fi
declare -a xs=(); xs+=("q"); echo ${#xs[@]}
local_test() { local -a l=(1 2); local x; x=${l[*]}; echo "$x"; }; local_test
export -f local_test 2>/dev/null
printf '%s\0' a b | xargs -0 -n1 echo item
echo a b c | xargs -n1 echo
grep -q a <<< abc && echo grepped
echo "x=1" | grep -oE '[0-9]+'
echo abc | cut -c2; echo a:b | cut -d: -f2
ln -s target lnk; readlink lnk
chmod 755 . ; stat -c %a .
basename /a/b.c .c; dirname /a/b
date -u -d @0 +%Y-%m-%d
echo hello | sha256sum
echo hello | base64 | base64 -d
od -An -tx1 <<< A
head -c 3 <<< abcdef; echo
env -i FOO=bar env
expr 3 + 4
tar cf t.tar out && tar tf t.tar | sort
printf 'b\na\n' | sort | uniq | wc -l
sed -n '2p;$p' <<< $'1\n2\n3'
sed 's/\(a\)\(b\)/\2\1/g; s/x\+/Y/' <<< 'ab xxx'
sed -E 's/(a+)/<\1>/' <<< 'caat'
sed -i 's/a/b/' t2 2>/dev/null || echo nosed
echo abc > t2; sed -i.bak -e 's/a/z/' t2; cat t2 t2.bak
tr -d '\n' <<< 'x'; echo
