import json, os, sys, time
x, how = float(sys.argv[1]), sys.argv[2]
print("x is", x)
if how == "sleep": time.sleep(60)
if how != "no result": json.dump({"segMeasure": x * x, "test": {"segMeasure": x}}, open(os.environ["SWEEP_RESULT"], "w"))
sys.exit(3 if how == "fail" else 0)
