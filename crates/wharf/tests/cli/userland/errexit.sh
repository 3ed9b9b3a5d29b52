set -e
g() { false; echo "in g"; }
g && echo ok
if g; then echo c; fi
x=$(false) || echo sub failed
echo before
y=$(false)
echo notreached
