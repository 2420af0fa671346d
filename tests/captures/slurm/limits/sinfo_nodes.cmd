sinfo -h -N -o %P|%c|%m|%G
