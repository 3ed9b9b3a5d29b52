n=0; for i in $(seq 1 500); do n=$((n+i)); done; echo $n
s=""; for ((i=0;i<300;i++)); do s="$s$i"; done; echo ${#s}
i=0; while [ $i -lt 300 ]; do i=$((i+1)); [ $i = 5 ] && continue; [ $i = 299 ] && break; done; echo $i
fib() { if [ $1 -lt 2 ]; then echo $1; else echo $(( $(fib $(($1-1))) + $(fib $(($1-2))) )); fi; }; fib 5
seq 1 500 | while read x; do :; done; echo done
yes | head -n 3
seq 1 3000 | sort -rn | head -1
{ for i in 1 2 3; do echo $i; done; } | { while read a; do echo $a; done; } | { while read b; do echo "x$b"; done; } | cat
