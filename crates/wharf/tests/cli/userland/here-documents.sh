x=5
cat <<A
val $x $(echo hi) \$x `echo bt`
A
cat <<'A'
val $x
A
cat <<-A
	tabbed
	A
cat > f <<EOF
one
two
EOF
while read -r l; do echo "[$l]"; done < f
cat <<< "here string $x"
