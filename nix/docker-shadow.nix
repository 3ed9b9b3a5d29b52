# groupadd and useradd for `runAsRoot`, as small scripts: they add lines to the files of users and groups in /etc.
{
  system,
  userland,
}:

let
  groupadd = ''
    #!${userland}/bin/sh
    set -e
    PATH=${userland}/bin
    gid= name= system= force=
    while [ $# -gt 0 ]; do
      case "$1" in
        -g|--gid) gid=$2; shift ;;
        -r|--system) system=1 ;;
        -f|--force) force=1 ;;
        -*) echo "groupadd: $1: there are -g, -r and -f" >&2; exit 2 ;;
        *) name=$1 ;;
      esac
      shift
    done
    [ -n "$name" ] || { echo "usage: groupadd [-r] [-f] [-g GID] NAME" >&2; exit 2; }
    touch /etc/group
    if cut -d : -f 1 /etc/group | grep -qxF -- "$name"; then
      [ -n "$force" ] && exit 0
      echo "groupadd: group '$name' already exists" >&2
      exit 9
    fi
    if [ -z "$gid" ]; then
      if [ -n "$system" ]; then gid=999 step=-1; else gid=1000 step=1; fi
      while cut -d : -f 3 /etc/group | grep -qx "$gid"; do gid=$((gid + step)); done
    fi
    echo "$name:x:$gid:" >> /etc/group
    if [ -f /etc/gshadow ]; then echo "$name:!::" >> /etc/gshadow; fi
  '';

  useradd = ''
    #!${userland}/bin/sh
    set -e
    PATH=${userland}/bin
    uid= group= groups= home= comment= shell=/bin/sh name= system= make=
    while [ $# -gt 0 ]; do
      case "$1" in
        -u|--uid) uid=$2; shift ;;
        -g|--gid) group=$2; shift ;;
        -G|--groups) groups=$2; shift ;;
        -d|--home|--home-dir) home=$2; shift ;;
        -c|--comment) comment=$2; shift ;;
        -s|--shell) shell=$2; shift ;;
        -m|--create-home) make=1 ;;
        -M|--no-create-home) make= ;;
        -r|--system) system=1 ;;
        -U|--user-group) group= ;;
        -*) echo "useradd: $1: there are -u, -g, -G, -d, -c, -s, -m, -M, -r and -U" >&2; exit 2 ;;
        *) name=$1 ;;
      esac
      shift
    done
    [ -n "$name" ] || { echo "usage: useradd [-r] [-m] [-u UID] [-g GROUP] [-G GROUPS] [-d HOME] [-s SHELL] NAME" >&2; exit 2; }
    touch /etc/passwd /etc/group
    if cut -d : -f 1 /etc/passwd | grep -qxF -- "$name"; then
      echo "useradd: user '$name' already exists" >&2
      exit 9
    fi
    if [ -z "$uid" ]; then
      if [ -n "$system" ]; then uid=999 step=-1; else uid=1000 step=1; fi
      while cut -d : -f 3 /etc/passwd | grep -qx "$uid"; do uid=$((uid + step)); done
    fi
    if [ -z "$group" ]; then
      "$(dirname "$0")/groupadd" -g "$uid" "$name"
      group=$uid
    fi
    case "$group" in
      *[!0-9]*)
        number=$(grep "^$group:" /etc/group | cut -d : -f 3)
        [ -n "$number" ] || { echo "useradd: group '$group' does not exist" >&2; exit 6; }
        group=$number
        ;;
    esac
    [ -n "$home" ] || home=/home/$name
    echo "$name:x:$uid:$group:$comment:$home:$shell" >> /etc/passwd
    if [ -f /etc/shadow ]; then echo "$name:!::::::" >> /etc/shadow; fi
    for other in $(echo "$groups" | tr , ' '); do
      sed -i "s/^\($other:[^:]*:[^:]*:\)\$/\1$name/; t; s/^\($other:[^:]*:[^:]*:.*\)\$/\1,$name/" /etc/group
    done
    if [ -n "$make" ]; then
      mkdir -p "$home"
      chown "$uid:$group" "$home"
    fi
  '';
in

derivation {
  name = "shadow";
  inherit system groupadd useradd;
  builder = "${userland}/bin/sh";
  args = [
    "-e"
    "-c"
    ''
      export PATH=${userland}/bin
      mkdir -p $out/bin
      printf '%s' "$groupadd" > $out/bin/groupadd
      printf '%s' "$useradd" > $out/bin/useradd
      chmod +x $out/bin/*
    ''
  ];
}
