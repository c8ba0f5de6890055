"""The throw-away Kubernetes that the end-to-end tests and the demo run on.

A fake API server proves nothing about an operator, so this package finds or makes a real one: the cluster that
`KUBECONFIG` names, else kind where a container engine answers, else one real node built from Kubernetes' own Go
modules and run on containerd in a network namespace of its own. Whatever it makes, it takes away again, also after
a crash of the process that made it.
"""
