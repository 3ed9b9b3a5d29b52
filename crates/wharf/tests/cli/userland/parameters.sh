p=/a/b/c.tar.gz
echo ${p##*/} ${p#*/} ${p%.*} ${p%%.*} ${p/b/X} ${p//\//_} ${#p} ${p:2:3} ${p: -2}
echo ${p^^} ${p,,}
v=x; n=v; echo ${!n}
echo "$#" "$1" "$2" "$@" "$*"
set -- x y z; shift; echo "$1 $#"
echo ${u:=assigned} $u
echo "${u:+alt}"
( : ${missing:?msg} ) 2>/dev/null || echo "failed $?"
IFS=: read -r a b c <<< "1:2:3"; echo $a $b $c
printf '%s|%5d|%-5s|%x\n' a 42 b 255
printf '%s\n' a b c
printf -v q '%q' "a b'c"; echo "$q"
echo -e 'a\tb'; echo 'a\tb'
echo {1..5} {a,b}{1,2}
a=(1 2 3); a+=(4); echo ${a[-1]} ${!a[@]}; unset 'a[1]'; echo ${a[@]}
s='a b  c'; for w in $s; do echo "w:$w"; done
echo "${p@Q}"
mapfile -t lines < <(printf 'l1\nl2\n'); echo "${lines[1]}"
