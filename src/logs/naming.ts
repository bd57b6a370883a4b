/** Names messages that have no decoder yet, so that they are neither misread nor passed over in silence. */

import type { LogReader } from './reader.ts';

/** Pattern and what the line is. The first that matches names the line. */
const kinds: readonly (readonly [RegExp, string])[] = [
  [
    /\bqemu-system-\w+|\b(?:smmuv3|smmu|vtd|amdvi|virtio_iommu)_[a-z_]+\b(?=[ (:])|\b(?:iommufd_backend|iommufd_cdev|vfio_[a-z]+)_[a-z_]+\b/,
    'QEMU message or trace event that has no decoder',
  ],
  [
    /\b(?:map|unmap|io_page_fault|attach_device_to_domain|add_device_to_group|remove_device_from_group): IOMMU:|\b(?:qi_submit|prq_report|cache_tag_[a-z_]+): /,
    'Linux IOMMU trace event in a form that is not known',
  ],
  [/AMD-V[iI]\b|\bamd_iommu_|\biommu ivhd\d|\bIO_PAGE_FAULT\b|\bIVRS\b/, 'AMD-Vi message: not read yet'],
  [
    /\bDMAR\b|\bDMAR-IR\b|\bdmar(?:\d{1,3}|_fault)?:|\bDRHD: |\bINTR-REMAP\b|\bVT-d\b|\[VT-D\]|Intel-IOMMU|\bQI (?:HEAD|PRIOR)\b/,
    'Intel VT-d message that holds no fault, or that has no decoder',
  ],
  [
    /\b(?:rk_iommu|mtk-iommu|mtk_iommu|exynos-sysmmu|sysmmu|qcom_iommu|msm_iommu|sun50i-iommu|ipmmu-vmsa|apple-dart|tegra-smmu|riscv,? ?iommu|sprd-iommu|omap-iommu|s390_iommu|fsl-pamu|gart-iommu)\b/i,
    'message of an IOMMU driver that this reader does not know',
  ],
  [
    /\/sys\/kernel\/debug\/iommu\/|\bIOMMU: dmar\d|\bCMD Buffer Head\b|\bDeviceId\b.*\bDTE\b/,
    'dump of an IOMMU from debugfs: not read yet',
  ],
  [
    /\b(?:Address Translation Service|Page Request Interface|Process Address Space ID)\b/,
    'lspci capability: not read yet',
  ],
  [
    /\barm_smmu_(?:context_fault|global_fault|tlb_\w{1,40}): \d+ callbacks suppressed/,
    'SMMUv2 (arm-smmu) message: not an SMMUv3, not read',
  ],
  [/\barm-smmu-v3-pmcg\b|\barm_smmuv3_pmu\b/, 'performance monitor of an SMMUv3: no fault'],
];

/** Cheap test before the patterns: one of their words must be there. */
const ANY =
  /iommu|smmu|dmar|DRHD|vt-?d|QI (?:HEAD|PRIOR)|AMD-V|IVRS|IO_PAGE_FAULT|qi_submit|prq_report|cache_tag|qemu|vfio_|virtio_iommu|INTR-REMAP|dart|pamu|CMD Buffer|Address Translation|Page Request|Address Space ID/i;

export const namingReader: LogReader = {
  name: 'naming',
  start: (sink) => ({
    read: (lines) => {
      const line = lines.peek(0);
      if (!line || !ANY.test(line.text)) return 0;
      const kind = kinds.find(([pattern]) => pattern.test(line.text));
      if (!kind) return 0;
      sink.unread(line, line.xen ? `Xen: ${kind[1]}` : kind[1]);
      return 1;
    },
    end: () => {},
  }),
};
