# What Wharf's image functions take beside nixpkgs' arguments.
{
  lib,
  # Makes the files of users and groups with more lines.
  makeFakeNss,
}:

let
  units = {
    ms = 1000000;
    s = 1000000000;
    m = 60000000000;
    h = 3600000000000;
  };

  # A number of seconds, or a text such as "30s" or "500ms", in nanoseconds.
  duration =
    function: option: value:
    let
      parts = builtins.match "([0-9]+)(ms|s|m|h)" value;
    in
    if builtins.isInt value then
      value * units.s
    else if builtins.isString value && parts != null then
      lib.toInt (builtins.head parts) * units.${builtins.elemAt parts 1}
    else
      throw "${function}: healthcheck.${option}: expected a number of seconds or a text such as \"30s\", found ${builtins.toJSON value}";

  # A healthcheck as Docker's configuration has it.
  healthcheckOf =
    function:
    {
      command,
      interval ? null,
      timeout ? null,
      startPeriod ? null,
      startInterval ? null,
      retries ? null,
    }:
    let
      time = name: option: value: lib.optionalAttrs (value != null) { ${name} = duration function option value; };
    in
    { Test = if builtins.isList command then [ "CMD" ] ++ command else [ "CMD-SHELL" command ]; }
    // time "Interval" "interval" interval
    // time "Timeout" "timeout" timeout
    // time "StartPeriod" "startPeriod" startPeriod
    // time "StartInterval" "startInterval" startInterval
    // lib.optionalAttrs (retries != null) { Retries = retries; };

  # A user with the defaults of useradd.
  userOf =
    user:
    {
      uid = 1000;
      home = "/home/${user.name}";
      shell = "/bin/sh";
      comment = "";
      group = user.name;
    }
    // user
    // { gid = user.gid or user.uid or 1000; };

  describeUser =
    function: value:
    if builtins.isString value then
      userOf { name = value; }
    else if builtins.isAttrs value && value ? name then
      let
        unknown = removeAttrs value [ "name" "uid" "gid" "group" "home" "shell" "comment" ];
      in
      if unknown == { } then
        userOf value
      else
        throw "${function}: user: there is no ${builtins.head (builtins.attrNames unknown)}; there are name, uid, gid, group, home, shell and comment"
    else
      throw "${function}: user: expected a name or an attribute set with one, found ${builtins.toJSON value}";

  filesOf =
    user:
    makeFakeNss {
      extraPasswdLines = [
        "${user.name}:x:${toString user.uid}:${toString user.gid}:${user.comment}:${user.home}:${user.shell}"
      ];
      extraGroupLines = [ "${user.group}:x:${toString user.gid}:" ];
    };
in

{
  # The arguments' part of an image: `config`, `contents` to be put at the root, `directories` and `annotations`.
  resolve =
    function:
    {
      config,
      annotations,
      labels,
      user,
      healthcheck,
      tmp,
    }:
    let
      person = describeUser function user;
      given = if config == null then { } else config;
      setTwice =
        name: value:
        if value != null && value != { } && given.${name} or null != null && name != "Labels" then
          throw "${function}: config.${name}: it is set by an argument of its own too"
        else
          value;
    in
    {
      config =
        given
        // lib.optionalAttrs (labels != { }) { Labels = given.Labels or { } // labels; }
        // lib.optionalAttrs (setTwice "User" user != null) { User = person.name; }
        // lib.optionalAttrs (setTwice "Healthcheck" healthcheck != null) {
          Healthcheck = healthcheckOf function healthcheck;
        };
      contents = lib.optional (user != null) (filesOf person);
      directories =
        lib.optional (user != null) {
          path = person.home;
          # 0700 and, below, 1777 in octal, which Nix cannot write.
          mode = 448;
          inherit (person) uid gid;
        }
        ++ lib.optional tmp {
          path = "tmp";
          mode = 1023;
          uid = 0;
          gid = 0;
        };
      annotations =
        if builtins.isAttrs annotations && builtins.all builtins.isString (builtins.attrValues annotations) then
          annotations
        else
          throw "${function}: annotations: expected an attribute set of strings such as { \"org.opencontainers.image.title\" = \"Server\"; }";
    };

  # Explicit layers, from the arguments of the user to those of the builder.
  groupsOf =
    function: layers:
    let
      group =
        {
          deps,
          ignore ? [ ],
          perms ? [ ],
        }:
        {
          inherit deps ignore;
          perms = map perm perms;
        };
      perm =
        {
          path,
          regex ? ".*",
          mode ? null,
          uid ? null,
          gid ? null,
        }:
        { inherit path regex mode uid gid; };
    in
    if builtins.isList layers then
      map group layers
    else
      throw "${function}: layers: expected a list of attribute sets such as { deps = [ pkgs.python3 ]; }";
}
