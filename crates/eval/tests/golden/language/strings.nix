[
  ("a\n\t\r\"\\\${x}$${y}$")
  ("${"a"}${toString 1}")
  (''
    a
      b

    ${"c"}d
  '')
  (''a ''${x} ''' ''\n $${y} $'')
  (''
  a
	b
'')
  (''  '')
  (''

  x
'')
  ("a" + "b" + "c")
  ("${../data/one.txt}" == "${../data/one.txt}")
  (builtins.stringLength "${../data/one.txt}")
  (https://example.org/x?y=z)
  ("\q\${")
]
