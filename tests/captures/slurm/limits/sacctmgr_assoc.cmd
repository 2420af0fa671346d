sacctmgr -n -P show assoc user=eve format=Account,Partition,MaxJobs,MaxSubmit,MaxWall,QOS,DefaultQOS
