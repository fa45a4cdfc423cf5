// SPDX-License-Identifier: Apache-2.0

package eve

// NetworkMetric counts the traffic of one network interface of the device.
type NetworkMetric struct {
	IfName              string
	TxBytes             uint64
	RxBytes             uint64
	TxDrops             uint64
	RxDrops             uint64
	TxPkts              uint64
	RxPkts              uint64
	TxErrors            uint64
	RxErrors            uint64
	TxAclDrops          uint64
	RxAclDrops          uint64
	TxAclRateLimitDrops uint64
	RxAclRateLimitDrops uint64
}

// NetworkMetrics counts the traffic of the device's network interfaces. Topic of zedrouter, keyed by GlobalKey.
type NetworkMetrics struct {
	MetricList     []NetworkMetric
	TotalRuleCount uint64 // of packet filter rules
}
