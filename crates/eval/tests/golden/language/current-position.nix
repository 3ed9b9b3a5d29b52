[ (removeAttrs __curPos [ "file" ])
  __curPos.column ]
