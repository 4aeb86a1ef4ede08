"""Measures the table: one real Object2Vec run per setting."""
import itertools, json, os, re, subprocess, sys, shutil, time, csv, random
LR=["0.0003","0.001","0.003","0.01","0.03","0.1","0.3"]
WD=["0.000001","0.00001","0.0001","0.0003","0.001","0.01"]
DR=["0","0.25","0.5","0.75"]
OPT=["adam","adagrad","sgd"]
DIM=["8","64"]
MLP=["0","1"]
base={"enc0_network":"pooled_embedding","enc0_max_seq_len":"1","enc1_network":"pooled_embedding","enc1_max_seq_len":"1","output_layer":"mean_squared_error","bucket_width":"0","enc0_vocab_size":"275","enc1_vocab_size":"973","comparator_list":"hadamard, concat","mlp_dim":"32","mlp_activation":"relu","mini_batch_size":"64","epochs":"15","early_stopping_patience":"2","early_stopping_tolerance":"0.001"}
allc=list(itertools.product(LR,WD,DR,OPT,DIM,MLP)); random.Random(1).shuffle(allc)
out="/tmp/e-table/table.csv"
done=set()
if os.path.exists(out): done={tuple(r[:6]) for r in csv.reader(open(out))}
f=open(out,"a"); w=csv.writer(f)
if not done: w.writerow("learning_rate weight_decay dropout optimizer enc_dim mlp_layers validation_mse test_mse epochs seconds".split())
for c in allc:
    if c in done: continue
    d="/tmp/e-table/run"; shutil.rmtree(d,ignore_errors=True)
    for p in("input/config","input/data","model","output/data"): os.makedirs(f"{d}/{p}")
    for s in("train","validation","test"): os.symlink(f"/tmp/e-table/data/{s}",f"{d}/input/data/{s}")
    h=dict(base,learning_rate=c[0],weight_decay=c[1],dropout=c[2],optimizer=c[3],enc_dim=c[4],mlp_layers=c[5])
    json.dump(h,open(d+"/input/config/hyperparameters.json","w"))
    json.dump({s:{"TrainingInputMode":"File","S3DistributionType":"FullyReplicated","RecordWrapperType":"None","ContentType":"application/jsonlines"} for s in("train","validation","test")},open(d+"/input/config/inputdataconfig.json","w"))
    json.dump({"current_host":"algo-1","hosts":["algo-1"],"network_interface_name":"lo"},open(d+"/input/config/resourceconfig.json","w"))
    t=time.time()
    r=subprocess.run(["taskset","-c","1","/tmp/e-table/sagebrush","algorithm","object2vec","train"],env={"SAGEBRUSH_ML_ROOT":d},capture_output=True,text=True)
    t=time.time()-t
    va=[float(x) for x in re.findall(r"epoch=\d+, validation mean_squared_error <loss>=(\S+)",r.stdout)]
    te=re.findall(r"#quality_metric: host=algo-1, test mean_squared_error <loss>=(\S+)",r.stdout)
    if r.returncode: print(c,r.stdout[-300:],r.stderr[-300:],flush=True)
    va=[v for v in va if v==v]
    w.writerow([*c,("%.6f"%min(va)) if va and not r.returncode else "", ("%.6f"%float(te[-1])) if te else "",len(va),"%.2f"%t]); f.flush()
print("done")
