sacctmgr -n -P show qos format=Name,MaxJobsPU,MaxSubmitPU,MaxWall,GrpSubmit,MaxSubmitPA
