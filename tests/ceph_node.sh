#!/bin/sh
# One node of Ceph with an S3 gateway on loopback, for tests: run it inside a root that has the daemons.
# Usage: ceph_node.sh FOLDER MON_PORT GATEWAY_PORT ACCESS_KEY SECRET_KEY
set -eu
folder=$1 mon=$2 gateway=$3 access=$4 secret=$5
mkdir -p "$folder/osd.0" "$folder/mon.a" "$folder/run"
fsid=$(cat /proc/sys/kernel/random/uuid) osd=$(cat /proc/sys/kernel/random/uuid)
export CEPH_CONF="$folder/ceph.conf"
cat > "$CEPH_CONF" <<EOF
[global]
fsid = $fsid
mon host = v2:127.0.0.1:$mon/0
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
osd crush chooseleaf type = 0
run dir = $folder/run
log file = $folder/\$name.log
mon cluster log file = $folder/cluster.log
osd objectstore = bluestore
bluestore block size = 8589934592
osd data = $folder/osd.0
mon data = $folder/mon.a
ms mon client mode = crc
rgw crypt require ssl = false
ms mon service mode = crc
ms mon cluster mode = crc
EOF
monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$mon]" "$folder/monmap" >/dev/null
ceph-mon --mkfs -i a --monmap "$folder/monmap"
ceph-mon -i a -f &
ceph osd new "$osd" >/dev/null
ceph-osd -i 0 --mkfs --osd-uuid "$osd"
ceph-osd -i 0 -f &
radosgw-admin user create --uid=tests --display-name=tests --access-key="$access" --secret-key="$secret" >/dev/null
exec radosgw -n client.rgw.a -f --rgw-frontends="beast endpoint=127.0.0.1:$gateway"
