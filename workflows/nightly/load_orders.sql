DELETE FROM nightly.customer_order;

-- Fails if the shop delivers an amount that is not a number.
INSERT INTO nightly.customer_order (order_id, customer, pieces, amount)
SELECT order_id, customer, pieces, CAST(amount AS DECIMAL(12,2)) FROM nightly.delivered_order;
