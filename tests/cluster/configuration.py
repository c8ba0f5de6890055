"""The configuration files of a node's components, each with the reason for what differs from the default."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.cluster.paths import Layout
from tests.cluster.pki import NODE_IP, NODE_NAME

POD_NETWORK = "10.244.0.0/16"
_NODE_PODS = "10.244.0.0/24"

PAUSE_IMAGE = "localhost/pause:1"

#: Whose calls the API server writes down: the service accounts of the namespace that Crewline is installed in.
AUDITED = "system:serviceaccounts:crewline-system"


def write(layout: Layout) -> None:
    """Write all configuration files into the cluster's data folder."""
    for name, text in {
        "containerd.toml": _containerd(layout),
        "cni/10-bridge.conflist": _pod_network(layout),
        "kubelet.yaml": _kubelet(layout),
        "resolv.conf": f"nameserver {NODE_IP}\n",
        "proxy.yaml": _proxy(layout),
        "audit.yaml": _audit(),
        "Corefile": _dns(layout.pki),
    }.items():
        path = layout.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def _containerd(layout: Layout) -> str:
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc may not lower a score, and no container would start.
    # netns_mounts_under_state_dir and runc's Root: what a crash leaves behind then lies under this cluster's folder.
    return f"""\
        version = 2
        root = "{layout.data}/containerd"
        state = "{layout.run}/containerd"
        [grpc]
        address = "{layout.containerd_socket}"
        [ttrpc]
        address = "{layout.containerd_socket}.ttrpc"
        [plugins."io.containerd.grpc.v1.cri"]
        sandbox_image = "{PAUSE_IMAGE}"
        restrict_oom_score_adj = true
        netns_mounts_under_state_dir = true
        [plugins."io.containerd.grpc.v1.cri".cni]
        bin_dir = "/usr/lib/cni"
        conf_dir = "{layout.data}/cni"
        [plugins."io.containerd.grpc.v1.cri".containerd]
        snapshotter = "overlayfs"
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
        runtime_type = "io.containerd.runc.v2"
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{layout.run}/runc"
        """


def _pod_network(layout: Layout) -> str:
    return f"""\
        {{"cniVersion": "1.0.0", "name": "pods", "plugins": [
         {{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
          "ipam": {{"type": "host-local", "dataDir": "{layout.data}/ipam", "ranges": [[{{"subnet": "{_NODE_PODS}"}}]],
                   "routes": [{{"dst": "0.0.0.0/0"}}]}}}},
         {{"type": "portmap", "capabilities": {{"portMappings": true}}}}]}}
        """


def _kubelet(layout: Layout) -> str:
    # failCgroupV1: machines with cgroup v1 still run with Kubernetes 1.37 if asked to.
    # oomScoreAdj: lowering it needs CAP_SYS_RESOURCE.
    # evictionHard, imageGCHighThresholdPercent: a developer's full disk must not evict the tests' pods.
    # podLogsDir: in a common folder each of two kubelets deletes the logs of the pods that it does not know.
    # crashLoopBackOff: 2 s at most between two starts, so that tests of crashing workers don't wait for minutes.
    return f"""\
        apiVersion: kubelet.config.k8s.io/v1beta1
        kind: KubeletConfiguration
        authentication:
          anonymous: {{enabled: false}}
          webhook: {{enabled: true}}
          x509: {{clientCAFile: {layout.pki}/ca.crt}}
        authorization: {{mode: Webhook}}
        containerRuntimeEndpoint: unix://{layout.containerd_socket}
        clusterDNS: [{NODE_IP}]
        clusterDomain: cluster.local
        resolvConf: {layout.data}/resolv.conf
        podLogsDir: {layout.data}/pod-logs
        cgroupRoot: /{layout.namespace}
        cgroupDriver: cgroupfs
        failCgroupV1: false
        failSwapOn: false
        oomScoreAdj: 0
        localStorageCapacityIsolation: false
        makeIPTablesUtilChains: false
        evictionHard: {{nodefs.available: "0%", imagefs.available: "0%", memory.available: "50Mi"}}
        imageGCHighThresholdPercent: 100
        maxPods: 250
        featureGates: {{KubeletCrashLoopBackOffMax: true}}
        crashLoopBackOff: {{maxContainerRestartPeriod: 2s}}
        tlsCertFile: {layout.pki}/kubelet-serving.crt
        tlsPrivateKeyFile: {layout.pki}/kubelet-serving.key
        """


def _proxy(layout: Layout) -> str:
    # conntrack at zero: its limits belong to the machine and are not ours to change.
    return f"""\
        apiVersion: kubeproxy.config.k8s.io/v1alpha1
        kind: KubeProxyConfiguration
        mode: nftables
        clusterCIDR: {POD_NETWORK}
        hostnameOverride: {NODE_NAME}
        clientConnection: {{kubeconfig: {layout.pki}/proxy.conf}}
        conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
        """


def _audit() -> str:
    # ResponseStarted stays: a watch that runs has no other record.
    return f"""\
        apiVersion: audit.k8s.io/v1
        kind: Policy
        omitStages: [RequestReceived]
        rules:
          - {{level: Metadata, userGroups: ["{AUDITED}"]}}
          - {{level: None}}
        """


def _dns(pki: Path) -> str:
    return f"""\
        .:53 {{
          bind {NODE_IP}
          errors
          kubernetes cluster.local in-addr.arpa {{
            endpoint https://127.0.0.1:6443
            tls {pki}/admin.crt {pki}/admin.key {pki}/ca.crt
            pods insecure
          }}
          cache 5
        }}
        """
