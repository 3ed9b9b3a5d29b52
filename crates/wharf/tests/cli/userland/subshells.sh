x=1; (x=2; echo $x); echo $x
echo "$(cat <<A
nested
A
)"
{ echo a; echo b; } | while read l; do echo "got $l"; done
ls nonexist 2>/dev/null || echo failed $?
sh -c 'exit 7'; echo $?
echo err >&2 2>/dev/null
exec 3>out3; echo three >&3; exec 3>&-; cat out3
cat < out3 | tr a-z A-Z
f() { return 3; }; f; echo $?
echo $(echo $(echo deep))
true && false || echo chain
(exit 4); echo $?
diff <(echo a) <(echo b) >/dev/null; echo $?
a=$(exit 9); echo $?
( cd / && pwd )
wait
sleep 0.1 & wait $!; echo waited $?
echo hi | tee t1 | cat; cat t1
export E1=val; sh -c 'echo $E1'; E2=z sh -c 'echo $E2'; echo "[$E2]"
eval 'echo ev $((1+1))'
echo 'echo sourced' > s; . ./s
type cd >/dev/null && echo typed
command -v ls >/dev/null && echo found
umask 022; umask; exec 4< out3; read -r line <&4; echo "$line"
sh -c "echo to-stderr >&2" 2>e; cat e; ls /nonexist >out4 2>&1; wc -l < out4
cat out3 >&2 2>/dev/null
