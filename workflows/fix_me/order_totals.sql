INSERT INTO fix_me.order_total (name, amount)
SELECT p.name, SUM(o.pieces * p.price)
FROM fix_me.customer_order o
JOIN fix_me.product p ON p.product_id = o.product_id
GROUP BY p.name;
