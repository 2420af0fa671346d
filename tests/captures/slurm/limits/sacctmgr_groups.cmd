sacctmgr -n -P show assoc user= format=Account,ParentName,GrpSubmit
