// A splat's shape as renderers take it: its longer axis times its deviation, and the ratio of the deviations.

/** Of a covariance xx, xy, yy and the root of its determinant: axis x, axis y, ratio. */
export function axesOf(xx, xy, yy, root) {
  const longer = (xx + yy) / 2 + Math.hypot((xx - yy) / 2, xy), angle = 0.5 * Math.atan2(2 * xy, xx - yy);
  return [Math.sqrt(longer) * Math.cos(angle), Math.sqrt(longer) * Math.sin(angle), root / longer];
}
