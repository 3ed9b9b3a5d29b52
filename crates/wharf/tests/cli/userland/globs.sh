touch a.txt b.txt c.md; mkdir d; touch d/x.txt .hid
echo *.txt; echo *.none; echo [ab].*; echo ?.md; echo d/*
shopt -s nullglob; echo *.none end; shopt -u nullglob
shopt -s dotglob; echo *; shopt -u dotglob
shopt -s extglob
echo !(a.txt); echo @(a|b).txt
set -f; echo *.txt; set +f
for f in *.txt; do echo "file $f"; done
