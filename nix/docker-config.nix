# Checks an image's `config` while the expression is evaluated, so that a mistake is shown where it stands.
{ lib }:

let
  nameOf =
    value:
    {
      set = "an attribute set";
      list = "a list";
      string = "a string";
      int = "an integer";
      float = "a float";
      bool = "a Boolean";
      lambda = "a function";
      path = "a path";
      null = "null";
    }
    .${builtins.typeOf value};

  # Strings, and what becomes one in a derivation: paths and packages.
  isText =
    value:
    builtins.isString value || builtins.isPath value || (builtins.isAttrs value && (value ? outPath || value ? __toString));
  isTextList = value: builtins.isList value && builtins.all isText value;
  isSetOf = check: value: builtins.isAttrs value && !(isText value) && builtins.all check (builtins.attrValues value);
  isEmptySet = value: value == { };

  text = example: {
    check = isText;
    wanted = "a string such as ${example}";
  };
  texts = example: {
    check = isTextList;
    wanted = "a list of strings such as ${example}";
  };
  names = example: {
    check = isSetOf isEmptySet;
    wanted = "an attribute set such as ${example}";
  };
  bool = {
    check = builtins.isBool;
    wanted = "true or false";
  };
  int = {
    check = builtins.isInt;
    wanted = "an integer";
  };

  members = {
    ArgsEscaped = bool;
    AttachStderr = bool;
    AttachStdin = bool;
    AttachStdout = bool;
    Cmd = texts ''[ "/bin/server" "--port" "80" ]'';
    CpuShares = int;
    Domainname = text ''"example.org"'';
    Entrypoint = texts ''[ "/bin/server" ]'';
    Env = texts ''[ "NAME=value" ]'';
    ExposedPorts = names ''{ "80/tcp" = {}; }'';
    Healthcheck = {
      check = isSetOf (_: true);
      wanted = ''an attribute set such as { Test = [ "CMD" "/bin/check" ]; Interval = 30000000000; }'';
    };
    Hostname = text ''"server"'';
    Image = text ''"name:tag"'';
    Labels = {
      check = isSetOf isText;
      wanted = ''an attribute set of strings such as { "org.opencontainers.image.title" = "Server"; }'';
    };
    MacAddress = text ''"02:42:ac:11:00:02"'';
    Memory = int;
    MemorySwap = int;
    NetworkDisabled = bool;
    OnBuild = texts ''[ "RUN true" ]'';
    OpenStdin = bool;
    Shell = texts ''[ "/bin/sh" "-c" ]'';
    StdinOnce = bool;
    StopSignal = text ''"SIGTERM"'';
    StopTimeout = int;
    Tty = bool;
    User = text ''"1000:1000"'';
    Volumes = names ''{ "/data" = {}; }'';
    WorkingDir = text ''"/data"'';
  };

  healthcheckMembers = {
    Test = texts ''[ "CMD" "/bin/check" ]'';
    Interval = int;
    Timeout = int;
    StartPeriod = int;
    StartInterval = int;
    Retries = int;
  };

  # Docker reads the names of members without regard to case.
  canonical =
    known:
    builtins.listToAttrs (
      map (name: {
        name = lib.toLower name;
        value = name;
      }) (builtins.attrNames known)
    );

  place =
    set: name:
    let
      position = builtins.unsafeGetAttrPos name set;
    in
    if position == null then "" else " (at ${position.file}:${toString position.line}:${toString position.column})";

  checkMember =
    function: path: known: set: name:
    let
      value = set.${name};
      option = "${path}.${name}";
      member = (canonical known).${lib.toLower name} or null;
      type = known.${member};
    in
    if member == null then
      throw "${function}: ${option}: there is no such member; there are ${
        builtins.concatStringsSep ", " (builtins.attrNames known)
      }${place set name}"
    else if value != null && !(type.check value) then
      throw "${function}: ${option}: expected ${type.wanted}, found ${describe value}${place set name}"
    else if member == "Healthcheck" && value != null then
      builtins.all (checkMember function option healthcheckMembers value) (builtins.attrNames value)
    else
      true;

  # What was found; for a list or a set whose kind is right, what is wrong inside.
  describe =
    value:
    let
      wrong =
        if builtins.isList value then
          builtins.filter (element: !(isText element)) value
        else if builtins.isAttrs value then
          builtins.filter (element: !(isText element || isEmptySet element)) (builtins.attrValues value)
        else
          [ ];
    in
    if wrong == [ ] then nameOf value else "${nameOf value} with ${nameOf (builtins.head wrong)} in it";
in

{
  # The config itself, if all its members have the types that Docker takes; throws what is wrong otherwise.
  check =
    function: config:
    if config == null then
      { }
    else if !builtins.isAttrs config then
      throw "${function}: config: expected an attribute set such as { Cmd = [ \"/bin/server\" ]; }, found ${nameOf config}"
    else if builtins.all (checkMember function "config" members config) (builtins.attrNames config) then
      config
    else
      throw "${function}: config: it cannot be checked";
}
