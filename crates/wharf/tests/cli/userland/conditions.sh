[[ abc == a* ]] && echo m1
[[ abc =~ ^a(.)c$ ]] && echo "${BASH_REMATCH[1]}"
[[ -e /nonexistent || 3 -lt 5 ]] && echo m2
[ "a" = "a" -a 1 -eq 1 ] && echo m3
test -d / && echo m4
case foo.tar.gz in *.zip) echo z;; *.tar.*) echo t;; *) echo o;; esac
case x in x) echo 1;& y) echo 2;; z) echo 3;; esac
echo $((1+2*3)) $((2**10)) $((0x1f)) $((7%3)) $((1?2:3))
i=0; while ((i<3)); do echo $i; ((i++)) || true; done
for ((j=0;j<3;j++)); do echo -n "$j "; done; echo
until [ $i -eq 5 ]; do i=$((i+1)); done; echo $i
select_=1
let "z=3*4"; echo $z
[[ "a b" == "a b" ]] && echo quoted
[[ -n "" ]] || echo empty
[[ 10 -gt 9 && ! 1 -gt 2 ]] && echo and
