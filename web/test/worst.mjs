/** The largest difference of two pictures [.., 4] of straight alpha, in levels of 255; colours premultiplied. */
export function worst(a, b) {
  if (a.length !== b.length) return 256;
  let most = 0;
  for (let j = 0; j < a.length; j += 4) {
    most = Math.max(most, Math.abs(a[j + 3] - b[j + 3]));
    for (let c = 0; c < 3; ++c) most = Math.max(most, Math.abs(a[j + c] * a[j + 3] - b[j + c] * b[j + 3]) / 255);
  }
  return most;
}
