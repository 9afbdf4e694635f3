#!/bin/bash
# virt-v2v takes the memory in an OVF for MiB, whatever its AllocationUnits say: 4 GiB become 4 MiB
#
# Seen with: virt-v2v 2.2.0-1 (Debian 12), with its libguestfs and libvirt.
# Behaviour: in an OVF a quantity is in the units of its item's AllocationUnits (DMTF DSP0243, "Virtual Hardware
#   Elements"), which may be any of DSP0004's programmatic units: "byte * 2^20", "byte * 2^30", "byte". virt-v2v
#   reads the VirtualQuantity alone and multiplies it by 2^20. Of 4 GiB the new machine gets 4 MiB, and one whose
#   memory stands in bytes gets 2^20 times as much. There is no warning, and the exit code is 0.
# Output seen: "4096 byte * 2^20: 4294967296 (bytes)", "4 byte * 2^30: 4194304 (bytes)",
#   "4194304 byte * 2^10: 4398046511104 (bytes)".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download virt-v2v=2.2.0-1
dpkg -x virt-v2v_*.deb tools
export LIBGUESTFS_BACKEND=direct
virt_v2v() { timeout 60 "$PWD/tools/usr/bin/virt-v2v" "$@"; }
virt_v2v --version
mkdir machine
qemu-img create -q -f vmdk -o subformat=streamOptimized machine/disk.vmdk 4M

# try QUANTITY UNITS BYTES: what --print-source says of such a machine's memory
try() {
  cat >machine/machine.ovf <<XML
<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
  <References><File ovf:id="file" ovf:href="disk.vmdk"/></References>
  <DiskSection>
    <Info>Disks</Info>
    <Disk ovf:diskId="disk" ovf:fileRef="file" ovf:capacity="4194304"
      ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <VirtualSystem ovf:id="machine">
    <Info>A machine</Info>
    <Name>machine</Name>
    <VirtualHardwareSection>
      <Info>Hardware</Info>
      <Item>
        <rasd:ElementName>CPU</rasd:ElementName>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>1</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>$2</rasd:AllocationUnits>
        <rasd:ElementName>Memory</rasd:ElementName>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>$1</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Address>0</rasd:Address>
        <rasd:ElementName>SCSI</rasd:ElementName>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceType>6</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent>
        <rasd:ElementName>Disk</rasd:ElementName>
        <rasd:HostResource>ovf:/disk/disk</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
XML
  virt_v2v -i ova machine -o null --print-source >said 2>&1 || { echo "virt-v2v refuses it now: $(cat said)"; exit 1; }
  if grep -i 'warning\|unit' said; then echo "there is a warning now"; exit 1; fi
  memory=$(sed -n 's/^ *memory: //p' said)
  echo "$1 $2: $memory"
  [ "$memory" = "$3 (bytes)" ] || { echo "that has changed"; exit 1; }
}
try 4096 'byte * 2^20' 4294967296
try 4 'byte * 2^30' 4194304
try 4194304 'byte * 2^10' 4398046511104
