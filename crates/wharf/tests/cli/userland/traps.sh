trap 'echo bye' EXIT
trap 'echo err $?' ERR
false
trap - ERR
(exit 2); echo $?
cleanup() { echo cleaned; }
trap cleanup EXIT
exit 3
