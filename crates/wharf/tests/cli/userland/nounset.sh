set -u
echo ${a:-x}
echo $undefined
echo notreached
