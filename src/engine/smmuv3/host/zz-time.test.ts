import { it } from 'vitest';
import { bed, nest } from '/work/main/src/engine/smmuv3/host/testbed.ts';
it('t', () => {
  for (const chunk of [2**21, 4096, 2**30]) for (let i=0;i<3;i++) {
    const t0=performance.now(); const b=bed({chunk}); const t1=performance.now(); const n=nest(b); const t2=performance.now();
    b.make('IOMMU_IOAS_UNMAP',{ioas_id:n.ioas,iova:0x40000000,length:2**30}); const t3=performance.now();
    console.log(chunk, (t1-t0).toFixed(1), (t2-t1).toFixed(1), (t3-t2).toFixed(1), b.events.length);
  }
});
